//! Reading an arrangement: a handle on its trace, and how far its inputs are.

use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::trace::TraceReader;
use differential_dataflow::trace::cursor::Navigable;
use timely::progress::frontier::{Antichain, AntichainRef, MutableAntichain};

use crate::arrange::RowSpine;

/// An immutable batch of an arrangement.
pub type Batch = <RowSpine as TraceReader>::Batch;

/// A cursor over a batch.
pub type BatchCursor = <Batch as Navigable>::Cursor;

/// A reader's hold on an arrangement: what it may still ask for stays.
pub struct Trace(TraceAgent<RowSpine>);

impl Trace {
    /// A hold on everything.
    #[must_use]
    pub const fn new(trace: TraceAgent<RowSpine>) -> Self {
        Self(trace)
    }

    /// Everything; times tell old from new.
    pub fn batches(&mut self) -> Vec<Batch> {
        self.0
            .batches_through(AntichainRef::new(&[]))
            .expect("a trace can always be read whole")
    }

    /// Lets the arrangement forget how it came to what it was before `upto`, and merge it.
    pub fn release(&mut self, upto: u64) {
        // Times before `upto` must stay distinguishable from `upto` itself.
        self.0
            .set_logical_compaction(Antichain::from_elem(upto - 1).borrow());
        self.0
            .set_physical_compaction(Antichain::from_elem(upto).borrow());
    }
}

/// The first epoch that may still bring changes on some input.
#[must_use]
pub fn complete(frontiers: &[MutableAntichain<u64>]) -> u64 {
    frontiers
        .iter()
        .map(|frontier| frontier.frontier().first().copied().unwrap_or(u64::MAX))
        .min()
        .unwrap_or(u64::MAX)
}
