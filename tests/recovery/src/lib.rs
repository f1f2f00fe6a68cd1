//! Jobs in a simulated world, against what they must come to: golden jobs against their golden output, random ones against an oracle.

pub mod flagship;
pub mod golden;
pub mod random;
pub mod seeds;
