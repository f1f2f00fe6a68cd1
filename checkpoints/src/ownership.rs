//! What a run that is in doubt may conclude: a pure function from what the journal says to a decision.
//!
//! A run is in doubt after a commit whose outcome it did not learn. Being able to fence proves nothing then: a process that was stopped and
//! goes on can fence the one that took over meanwhile. What counts is what stands in the journal. Each run has an id of its own, writes a claim
//! before its first commit, and puts its id into every record. So
//! - an entry of another run after one's own says that one was replaced, and then nobody is to be fenced: the job runs;
//! - only a record *of this run* says that this run's commit stands. That the journal has the epoch's number says nothing: the run that took
//!   over counts on from the same epoch.

use tidemill_types::Epoch;

use crate::journal::Journal;

/// What a run in doubt knows.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The run, which claimed the journal before.
    pub owner: &'a str,
    /// The journal from before the first epoch in doubt on.
    pub journal: &'a Journal,
    /// Whether the run fenced before it read: then no commit, its own or another's, is unfinished and hidden any more.
    pub fenced: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A newer run took over. Exit, and fence nobody.
    Replaced {
        /// Its id.
        by: String,
    },
    /// As far as can be read, this run is the owner still: fence, read again, decide again.
    FenceAndReadAgain,
    /// This run is the owner, and what it committed through this epoch stands: send again what comes after.
    Stands {
        /// 0 for nothing.
        through: Epoch,
    },
    /// This run claimed the journal, and the journal has nothing at all.
    JournalLost,
}

/// Decides for a run in doubt.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Decision {
    match (&facts.journal.owner, facts.fenced) {
        (Some(newest), _) if newest != facts.owner => Decision::Replaced { by: newest.clone() },
        (_, false) => Decision::FenceAndReadAgain,
        (None, true) => Decision::JournalLost,
        (Some(_), true) => {
            let mut own = facts.journal.records.iter().rev();
            let last = own.find(|record| record.owner == facts.owner);
            Decision::Stands {
                through: last.map_or(Epoch(0), |record| record.epoch),
            }
        }
    }
}
