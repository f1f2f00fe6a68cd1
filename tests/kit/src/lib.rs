//! What tests of the whole engine are made of: random jobs with their input, and an oracle that says what must come
//! out.
//!
//! *Promises* that one seed always gives the same job and the same input; that the oracle shares no code with the
//! engine. *Does not promise* that a job of a seed stays the same from one version of this crate to the next.

pub mod coverage;
pub mod oracle;
pub mod random_job;
pub mod value;
