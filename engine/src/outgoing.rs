//! How the sinks of a job come to have what is committed: in the journal's transaction, or afterwards, by way of an outbox.
//!
//! Promises: what a delivered sink gets is put into its outbox once the journal has the epoch, and before anybody is told that it is committed:
//! so a checkpoint of the epoch has either its parcel or the word of the target. Does not bring anything anywhere.

use std::sync::Arc;

use tidemill_checkpoints::{Manifest, Outbox, StateDir};
use tidemill_jobs::plan::JobPlan;
use tidemill_types::{Epoch, OutputRecords, Parcel};

use crate::Error;

/// The sinks of a run, in the plan's order: of those that are delivered, the outbox.
#[derive(Debug, Default)]
pub struct Outgoing(Vec<Option<Arc<Outbox>>>);

/// What an epoch has for the sinks.
#[derive(Debug, Default)]
pub struct Split {
    /// For those that are committed with the journal, in order.
    pub committed: Vec<OutputRecords>,
    /// For those that are delivered: by index of the sink, where there is something.
    pub delivered: Vec<(usize, Parcel)>,
}

impl Outgoing {
    /// The sinks of a run that begins with a checkpoint, or without one; an outbox is full with `bytes_max`.
    ///
    /// # Errors
    /// If an outbox cannot be written, or what the checkpoint has of it is damaged.
    pub fn restore(
        plan: &JobPlan,
        state_dir: &StateDir,
        checkpoint: Option<&Manifest>,
        bytes_max: u64,
    ) -> Result<Self, Error> {
        let store = state_dir.checkpoints();
        let outbox = |(index, is_delivered): (usize, bool)| {
            if !is_delivered {
                return Ok(None);
            }
            let kept = checkpoint.map(|manifest| {
                let folder = store.path_of(manifest.epoch);
                (Outbox::in_checkpoint(&folder, index), manifest.epoch)
            });
            let kept = kept.as_ref().map(|(folder, epoch)| (&**folder, *epoch));
            let outbox = Outbox::restore(&state_dir.outbox_dir(index), kept, bytes_max)?;
            Ok(Some(Arc::new(outbox)))
        };
        let sinks = plan.sinks.iter().map(|sink| sink.is_delivered).enumerate();
        sinks.map(outbox).collect::<Result<_, Error>>().map(Self)
    }

    /// How many sinks there are.
    pub const fn sinks(&self) -> usize {
        self.0.len()
    }

    /// The outboxes, by index of the sink.
    pub fn outboxes(&self) -> impl Iterator<Item = (usize, &Arc<Outbox>)> {
        let sinks = self.0.iter().enumerate();
        sinks.filter_map(|(index, outbox)| Some((index, outbox.as_ref()?)))
    }

    /// The indices of the sinks that are committed with the journal.
    pub fn of_committer(&self) -> impl Iterator<Item = usize> {
        let sinks = self.0.iter().enumerate();
        sinks.filter_map(|(index, outbox)| outbox.is_none().then_some(index))
    }

    /// What an epoch has, by where it goes.
    pub fn split(&self, epoch: Epoch, outputs: Vec<OutputRecords>) -> Split {
        let mut split = Split::default();
        for (index, (records, outbox)) in outputs.into_iter().zip(&self.0).enumerate() {
            if outbox.is_none() {
                split.committed.push(records);
            } else if !records.is_empty() {
                split.delivered.push((index, Parcel { epoch, records }));
            }
        }
        split
    }

    /// Puts the parcels of an epoch that is committed into their outboxes.
    ///
    /// # Errors
    /// If one cannot be written: the run ends, and the next one does the epoch again.
    pub fn put(&self, parcels: &[(usize, Parcel)]) -> Result<(), Error> {
        for (sink, parcel) in parcels {
            if let Some(outbox) = &self.0[*sink] {
                outbox.put(parcel)?;
            }
        }
        Ok(())
    }

    /// True if an outbox should take no more.
    pub fn is_full(&self) -> bool {
        self.outboxes().any(|(_, outbox)| outbox.is_full())
    }

    /// True if everything is delivered that was to be.
    pub fn is_empty(&self) -> bool {
        self.outboxes().all(|(_, outbox)| outbox.is_empty())
    }
}
