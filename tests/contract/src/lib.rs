//! What every connector promises, as tests that know none: each is a function over a [`World`], which makes topics and clients and does what the
//! outside does to them. The real connectors run them in this crate's `tests`; whatever stands in for one elsewhere has to pass them too.
//!
//! Catches: a port's promise that an implementation breaks, alone or beside a second owner. Cannot catch: what depends on real time or on a
//! crash between two steps inside a call.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "tests: what cannot go on has failed"
)]

pub mod changes;
pub mod deliveries;
pub mod journals;
pub mod owners;
pub mod registries;
pub mod several;
pub mod sources;
mod steps;

use tidemill_connectors_api::{Committer, Source};
use tidemill_types::Epoch;

/// A committed record of a sink: its epoch, key and value.
pub type Written = (Epoch, Vec<u8>, Option<Vec<u8>>);

/// What a world can do beside what every one can.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// A second owner takes over while the first one lives; else it is refused until the first one is gone.
    pub takes_over: bool,
    /// Its sources tell that partitions were added since they were opened.
    pub tells_growth: bool,
    /// Old records of a topic can be deleted.
    pub retains: bool,
    /// After how many epochs, none of them needed, trimming a journal is certain to shorten it.
    pub trims_after: u64,
}

/// The outside of a job: a system that a connector speaks to. Every contract uses topics and jobs of its own.
pub trait World {
    /// What it can do.
    fn abilities(&self) -> Abilities;
    /// Makes a topic to read from, whose partitions exist and are empty.
    fn make_topic(&mut self, topic: &str, partitions: u32);
    /// Deletes a topic and makes it again, empty.
    fn make_topic_again(&mut self, topic: &str, partitions: u32);
    /// Gives a topic more partitions, so that it has `partitions`.
    fn add_partitions(&mut self, topic: &str, partitions: u32);
    /// Appends records to a partition.
    fn produce(&mut self, topic: &str, partition: u32, values: &[&str]);
    /// Deletes the records of a partition before an offset.
    fn delete_before(&mut self, topic: &str, partition: u32, offset: i64);
    /// A reader of a topic.
    fn source(&mut self, topic: &str) -> Box<dyn Source>;
    /// A reader of all topics whose names fit a pattern, which begins so and ends in `.*`; none where a source reads one topic only.
    fn matching(&mut self, pattern: &str) -> Option<Box<dyn Source>>;
    /// A committer of a job that writes to one sink of that name, of one partition. It has connected to nothing yet.
    fn committer(&mut self, job: &str, sink: &str) -> Box<dyn Committer>;
    /// Leaves what a process leaves that dies in the middle of a commit, as the owner of the job: half the output, nothing committed.
    fn die_within_a_commit(&mut self, job: &str, sink: &str);
    /// The committed records of a sink, in order.
    fn written(&mut self, sink: &str) -> Vec<Written>;
}

/// Makes a test of every contract, each in a new world.
#[macro_export]
macro_rules! contracts {
    ($world:expr) => {
        $crate::contracts! { $world;
            owners::every_owner_is_fenced,
            owners::reading_the_journal_disturbs_nobody,
            owners::a_claim_is_an_entry_and_no_epoch,
            owners::a_zombie_in_doubt_leaves_the_newer_owner_alone,
            owners::half_a_commit_is_undone_by_the_next_owner,
            journals::the_end_of_a_journal_is_whole,
            journals::trimming_keeps_what_is_needed,
            journals::trimming_shortens_the_journal,
            journals::a_record_above_the_limit_is_refused_and_one_at_it_is_taken,
            sources::a_source_reads_from_exactly_where_it_is_opened,
            sources::a_paused_partition_waits_and_goes_on_where_it_stopped,
            sources::a_partition_that_is_paused_at_its_end_misses_nothing,
            sources::a_topic_that_grows_is_the_same_log,
            sources::a_topic_that_grows_while_it_is_read_says_so,
            sources::a_topic_made_again_is_another_log,
            sources::a_topic_made_again_while_it_is_read_is_refused,
            sources::an_offset_that_is_not_retained_is_refused,
            sources::retention_that_overtakes_a_source_is_refused,
            several::topics_that_are_read_together_keep_their_numbers,
            several::a_topic_that_is_made_while_a_pattern_is_read_is_noticed,
        }
    };
    ($world:expr; $($module:ident :: $contract:ident,)*) => {
        $(
            #[test]
            fn $contract() {
                $crate::$module::$contract(&mut $world);
            }
        )*
    };
}
