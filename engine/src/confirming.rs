//! What the sources' systems may forget: how far no restore will read again, by source.
//!
//! Whoever learns of a checkpoint leaves it here, and the reader of the source takes it along with its next poll. What was not taken when
//! there is something newer is left out: a later position says it all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidemill_checkpoints::Positions;

/// A slot for each source.
#[derive(Debug, Default)]
pub struct Confirmations {
    slots: Mutex<BTreeMap<String, BTreeMap<u32, i64>>>,
}

impl Confirmations {
    /// Leaves the positions of the oldest checkpoint that a restore may begin with.
    pub fn put(&self, positions: &Positions) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clone_from(positions);
    }

    /// The slot of a source.
    #[must_use]
    pub fn slot(self: &Arc<Self>, source: &str) -> Slot {
        Slot {
            of: Arc::clone(self),
            source: source.to_owned(),
        }
    }
}

/// What is left for one source.
#[derive(Debug)]
pub struct Slot {
    of: Arc<Confirmations>,
    source: String,
}

impl Slot {
    /// Takes it, as `(partition, next offset)`; empty if there is nothing new.
    pub(crate) fn take(&self) -> Vec<(u32, i64)> {
        let mut slots = self.of.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let positions = slots.remove(&self.source).unwrap_or_default();
        positions.into_iter().collect()
    }
}
