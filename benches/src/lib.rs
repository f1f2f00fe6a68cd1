//! What is measured: the studio's finance job on a real Kafka (`bin/studio`) and by the size of its state (`bin/scaling`), a filter and a
//! projection from Kafka to Kafka (`bin/stateless`), what the operators of the studio's job cost (`bin/stages`), whether its stages keep to their budget
//! of instructions (`bin/check`), what decoding a record costs (`bin/formats`), how fast records are delivered to a real service (`bin/deliveries`), how many
//! events are taken over HTTP (`bin/collect`), and what others can do as well beside them (`bin/peers`).
//!
//! Promises: every run that measures time ends with one line of JSON that has its figures, the commit and the machine; a figure is reported
//! as measured, whether it meets its target or not; only an output that is not what the events give, or a stage over its budget, makes a run
//! fail.
//! Does not promise that figures of a busy machine mean anything: the load before the run is reported with them.

mod broker;
pub mod budget;
mod catch_up;
pub mod changes;
pub mod collect;
pub mod deliveries;
pub mod formats;
mod job;
pub mod launch;
pub mod peers;
mod process;
pub mod report;
pub mod scaling;
pub mod stages;
pub mod stateless;
pub mod studio;
