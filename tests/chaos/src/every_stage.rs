//! The second job: every stage behind another, over accounts and their movements; its load, and an oracle of plain
//! maps.

mod check;
mod events;
mod oracle;
mod publish;

use anyhow::Result;
use tidemill_connectors_kafka::tools::{TopicSpec, create_topics};

pub use check::check;
pub use publish::publish;

/// Its place among the jobs.
pub const JOB: usize = 1;
/// Its name.
pub const NAME: &str = "every_stage";
/// Its SQL, from the root of the workspace.
pub const SQL: &str = "tests/chaos/every_stage.sql";
/// Partitions of its topics at first.
pub const PARTITIONS: u32 = 3;
/// The topic of accounts.
pub const ACCOUNT: &str = "chaos.account";
/// The topic of movements.
pub const MOVEMENT: &str = "chaos.movement";
/// Topics that it reads.
pub const TOPICS: [&str; 2] = [ACCOUNT, MOVEMENT];
/// Its sources and their topics.
pub const SOURCES: [(&str, &str); 2] = [("account_events", ACCOUNT), ("movement_events", MOVEMENT)];
/// Topics that it writes, and whether each has one record per key and epoch.
pub const SINKS: [(&str, bool); 12] = [
    ("chaos.seen", false),
    ("chaos.trail", false),
    ("chaos.booked", true),
    ("chaos.by_region", true),
    ("chaos.regional_spans", true),
    ("chaos.spans", true),
    ("chaos.kinds", true),
    ("chaos.words", true),
    ("chaos.late", false),
    ("chaos.late_counts", true),
    ("chaos.dead", false),
    ("chaos.dead_counts", true),
];

/// Makes the topics of events.
///
/// # Errors
/// Of the brokers.
pub fn create(bootstrap: &str) -> Result<()> {
    let specs = TOPICS.map(|name| TopicSpec {
        name,
        partitions: PARTITIONS,
        settings: Vec::new(),
    });
    Ok(create_topics(bootstrap, &specs)?)
}
