//! What joins have in common: the arrangements that they need, each made once.

use tidemill_jobs::plan::NodeId;
use tidemill_operators::arrange::{Arrangement, arrange, arrange_with_nulls};
use tidemill_operators::keyed::KeyedLayout;

use super::Renderer;
use super::needed::Needed;
use crate::Error;

/// What an arrangement indexes, and how.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Index {
    pub(super) input: NodeId,
    pub(super) key: Vec<String>,
    /// Columns that order the rows of a key.
    pub(super) first: Vec<String>,
    /// Rows whose key has a null are in it.
    pub(super) with_nulls: bool,
}

impl Index {
    pub(super) const fn of(input: NodeId, key: Vec<String>) -> Self {
        Self {
            input,
            key,
            first: Vec::new(),
            with_nulls: false,
        }
    }
}

impl<'scope> Renderer<'_, 'scope> {
    /// A stream indexed by key; joins that need the same index share it.
    pub(super) fn arrangement(&mut self, index: Index) -> Result<Arrangement<'scope>, Error> {
        if let Some(arrangement) = self.arrangements.get(&index) {
            return Ok(arrangement.clone());
        }
        let node = &self.context.plan.nodes[index.input].name;
        let layout = KeyedLayout::ordered(self.schema(index.input), &index.key, &index.first)
            .map_err(|error| self.plan_error(node, error))?;
        let name = format!("{node} by {}", index.key.join(", "));
        let rows = self.streams[&index.input].clone();
        let arrangement = if index.with_nulls {
            arrange_with_nulls(rows, layout, &name, self.context.failure)?
        } else {
            arrange(rows, layout, &name, self.context.failure)?
        };
        self.arrangements.insert(index, arrangement.clone());
        Ok(arrangement)
    }

    /// Up to which epoch a node's output is of no use, if it is of none there.
    pub(super) fn unneeded_through(&self, node: NodeId) -> Option<u64> {
        match self.needed(node) {
            Needed::Always => None,
            Needed::SinceCheckpoint => Some(self.context.restored_epoch),
            Needed::Uncommitted => Some(self.context.suppress_through),
        }
    }
}
