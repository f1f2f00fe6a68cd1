//! What is needed after a restart: epochs that are committed already are done again, but not all that they brought has
//! to be computed again.

use tidemill_jobs::plan::{NodeId, NodeOp, State};

use super::Renderer;

/// Which epochs of a node's output somebody needs after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needed {
    /// Those that are not committed: it is written, and no more.
    Uncommitted,
    /// Those after the checkpoint: a table of the state store has what came before, or an outbox.
    SinceCheckpoint,
    /// All, and first of all the image of what was before the checkpoint.
    Always,
}

impl Renderer<'_, '_> {
    /// True if something that keeps state, and gets it from here after a restart, reads this node's output.
    pub(super) fn feeds_state(&self, node: NodeId) -> bool {
        self.needed(node) == Needed::Always
    }

    /// Which epochs of a node's output somebody needs after a restart.
    pub(super) fn needed(&self, node: NodeId) -> Needed {
        self.needed_by_readers(node, self.dead_letters_needed())
    }

    /// Which epochs' dead letters somebody needs after a restart.
    pub(super) fn dead_letters_needed(&self) -> Needed {
        let mut nodes = self.context.plan.nodes.iter();
        let dead_letters = nodes.position(|node| matches!(node.op, NodeOp::DeadLetters(_)));
        dead_letters.map_or(Needed::Uncommitted, |dead_letters| {
            self.needed_by_readers(dead_letters, Needed::Uncommitted)
        })
    }

    /// As [`Self::needed`]; every stateless stage and every sink may add to the dead letters, of which some are needed as well.
    fn needed_by_readers(&self, node: NodeId, of_dead_letters: Needed) -> Needed {
        let plan = self.context.plan;
        let sinks = plan.sinks.iter().filter(|sink| sink.input == node);
        let by_sinks = sinks.map(|sink| {
            if sink.shares_keys || sink.is_delivered {
                of_dead_letters.max(Needed::SinceCheckpoint)
            } else {
                of_dead_letters
            }
        });
        let nodes = plan.nodes.iter().enumerate();
        let readers = nodes.filter(|(_, reader)| reader.op.inputs().contains(&node));
        let by_nodes = readers.map(|(id, reader)| match reader.op.stage().state() {
            State::None if reader.op.stage().is_computed() => self
                .needed_by_readers(id, of_dead_letters)
                .max(of_dead_letters),
            State::None => self.needed_by_readers(id, of_dead_letters),
            State::Memory => Needed::Always,
            State::Table | State::ExpiringTable => Needed::SinceCheckpoint,
        });
        by_sinks
            .chain(by_nodes)
            .max()
            .unwrap_or(Needed::Uncommitted)
    }
}
