//! What is measured: the studio's finance job on a real Kafka (`bin/studio`), and its stages alone (`bin/stages`).
//!
//! Promises: every run ends with one line of JSON that has its figures, the commit and the machine; a figure is reported as measured,
//! whether it meets its target or not; only an output that is not what the events give makes a run fail.
//! Does not promise that figures of a busy machine mean anything: the load before the run is reported with them.

mod broker;
pub mod budget;
mod job;
mod process;
pub mod report;
pub mod scaling;
pub mod stages;
pub mod studio;
