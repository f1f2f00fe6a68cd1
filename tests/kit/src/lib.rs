//! What tests of the whole engine are made of: random jobs with their input, an oracle that says what must come out, and a simulated world
//! that a job runs in, one step at a time from one seed.
//!
//! *Promises* that one seed always gives the same job, the same input and the same course of events; that the oracle shares no code with the
//! engine. *Does not promise* that a job of a seed stays the same from one version of this crate to the next.

pub mod codec;
pub mod coverage;
pub mod oracle;
mod planned;
pub mod random_job;
pub mod sim;
pub mod value;

pub use planned::planned;
