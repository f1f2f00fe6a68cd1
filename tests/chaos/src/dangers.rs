//! What can happen to the jobs. Each danger is a file with one function that does it, and returns when it is over;
//! that the jobs come back is awaited, and held against them, by who calls it.

mod brokers;
mod calm;
mod clock;
mod commits;
mod disk;
mod kill;
mod partitions;
mod retention;
mod zombie;

use anyhow::Result;

use crate::world::World;

/// Something that can happen.
pub struct Danger {
    /// Name, for `CHAOS_ONLY`.
    pub name: &'static str,
    /// Does it.
    pub strike: fn(&mut World) -> Result<()>,
}

/// All of them.
pub const ALL: [Danger; 9] = [
    Danger {
        name: "calm",
        strike: calm::strike,
    },
    Danger {
        name: "kill",
        strike: kill::strike,
    },
    Danger {
        name: "zombie",
        strike: zombie::strike,
    },
    Danger {
        name: "brokers",
        strike: brokers::strike,
    },
    Danger {
        name: "partitions",
        strike: partitions::strike,
    },
    Danger {
        name: "retention",
        strike: retention::strike,
    },
    Danger {
        name: "disk",
        strike: disk::strike,
    },
    Danger {
        name: "clock",
        strike: clock::strike,
    },
    Danger {
        name: "commits",
        strike: commits::strike,
    },
];

/// A danger that this machine cannot have; it is told, and counted as not done.
#[derive(Debug)]
pub struct Impossible(pub &'static str);

impl std::fmt::Display for Impossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Impossible {}
