//! What the tests of the whole share: a simulated world that a job runs in, one step at a time from one seed.

pub mod sim;
