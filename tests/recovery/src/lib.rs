//! Jobs in a simulated world, against what they must come to: golden jobs against their golden output, random ones against an oracle.

pub mod flagship;
pub mod golden;
pub mod random;
pub mod seeds;
pub mod written;

/// The job's own allocator: a third of a simulation's time is memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
