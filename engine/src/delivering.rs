//! Delivering: brings what is in a sink's outbox to its target, epoch by epoch, until the target has it for certain.
//!
//! No other sink waits for it. A target that is away, or refuses, is tried again, with a growing pause; meanwhile its outbox fills. What is
//! wrong from the beginning (no such table, another history) ends the run at its start, as every other wrong setting does.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemill_checkpoints::{DeadLetterFile, Outbox};
use tidemill_connectors_api::{Delivery, Error as PortError, Rejected};
use tidemill_types::dead_letter::Stage;
use tidemill_types::{DeadLetter, Epoch, ErrorKind, Parcel};

use crate::status::DeliveryStatus;
use crate::{Error, Status};

/// So much is delivered at a time, in bytes, if one epoch has no more.
const BYTES_AT_ONCE: u64 = 8 << 20;
/// How long to wait before trying again, at first and at most.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: everything is there.
    Idle,
    /// Delivered something.
    Delivered,
    /// Tries again after a while.
    Again(Duration),
}

/// What the deliveries of a run have in common.
#[derive(Clone)]
pub struct OfRun {
    /// Identity of the plan, for dead letters.
    pub plan_hash: String,
    /// Which history the epochs are counted in.
    pub history: String,
    /// Counts.
    pub status: Arc<Status>,
    /// Where what is rejected is kept.
    pub dead_letters: Arc<Mutex<DeadLetterFile>>,
}

/// Delivers to one sink.
pub struct Deliveries {
    run: OfRun,
    /// Index of the sink.
    sink: usize,
    delivery: Box<dyn Delivery>,
    outbox: Arc<Outbox>,
    /// The target has said how far it came, and nothing failed since.
    is_open: bool,
    /// It was open once.
    was_open: bool,
    wait: Duration,
    /// What was rejected, and is kept, of what is in the outbox.
    kept: BTreeSet<(Epoch, usize)>,
}

impl Deliveries {
    /// Has delivered nothing yet of what is in the outbox of the sink with an index.
    #[must_use]
    pub fn new(run: OfRun, sink: usize, delivery: Box<dyn Delivery>, outbox: Arc<Outbox>) -> Self {
        Self {
            run,
            sink,
            delivery,
            outbox,
            is_open: false,
            was_open: false,
            wait: RETRY_WAIT.0,
            kept: BTreeSet::new(),
        }
    }

    /// Name of the sink.
    #[must_use]
    pub fn sink(&self) -> &str {
        self.counts().sink.as_deref().unwrap_or_default()
    }

    fn counts(&self) -> &DeliveryStatus {
        &self.run.status.sinks[self.sink].delivery
    }

    /// True if the target has everything that was put into the outbox.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_open && self.outbox.is_empty()
    }

    /// Delivers what is there. Waits for nothing but the target's answer.
    ///
    /// # Errors
    /// `Fenced` if a newer process took over; at first `Invalid` if the target is not what the sink needs; what became of the outbox.
    pub fn step(&mut self) -> Result<Step, Error> {
        let stepped = self.try_step();
        let counts = &self.run.status.sinks[self.sink].delivery;
        let bytes = self.outbox.bytes();
        counts.outbox_bytes.store(bytes, Ordering::Relaxed);
        match stepped {
            Err(Error::Connector(error)) if self.is_survived(&error) => {
                let wait = self.wait;
                self.wait = (wait * 2).min(RETRY_WAIT.1);
                counts.failures.add(1);
                tracing::warn!(sink = self.sink(), %error, "a delivery failed; it is tried again, and what comes meanwhile waits in the outbox");
                self.is_open = false;
                Ok(Step::Again(wait))
            }
            stepped => stepped,
        }
    }

    fn is_survived(&self, error: &PortError) -> bool {
        match error.kind() {
            ErrorKind::Retry => true,
            ErrorKind::Invalid => self.was_open,
            _ => false,
        }
    }

    fn try_step(&mut self) -> Result<Step, Error> {
        let counts = &self.run.status.sinks[self.sink].delivery;
        if !self.is_open {
            let through = self.delivery.open(&self.run.history)?;
            let gone = self.outbox.gone_through();
            if through < gone {
                return Err(lacks(self.sink(), through, gone).into());
            }
            self.outbox.delivered(through);
            counts.epoch.fetch_max(through.0, Ordering::Relaxed);
            (self.is_open, self.was_open) = (true, true);
        }
        let parcels = self.outbox.oldest(BYTES_AT_ONCE)?;
        let Some(newest) = parcels.last() else {
            return Ok(Step::Idle);
        };
        let mut rejected = self.delivery.bring(&parcels)?;
        // What is brought again is rejected again.
        rejected.retain(|rejected| self.kept.insert((rejected.epoch, rejected.record)));
        self.keep(&parcels, &rejected);
        let counts = &self.run.status.sinks[self.sink].delivery;
        counts.rejected.add(rejected.len() as u64);
        self.delivery.settle()?;
        self.outbox.delivered(newest.epoch);
        self.kept.clear();
        counts.epoch.fetch_max(newest.epoch.0, Ordering::Relaxed);
        self.wait = RETRY_WAIT.0;
        Ok(Step::Delivered)
    }

    /// Keeps what the target did not take, before it counts there. Should the process die in between, it may stand there twice.
    fn keep(&self, parcels: &[Parcel], rejected: &[Rejected]) {
        let mut file = self.run.dead_letters.lock();
        let file = file.as_mut().unwrap_or_else(PoisonError::get_mut);
        for rejected in rejected {
            let mut parcels = parcels.iter();
            let parcel = parcels.find(|parcel| parcel.epoch == rejected.epoch);
            let record = parcel.and_then(|parcel| parcel.records.iter().nth(rejected.record));
            let Some(record) = record else {
                continue;
            };
            let sink = self.sink();
            let letter = DeadLetter {
                plan: self.run.plan_hash.clone(),
                stage: Stage::Sink,
                source: sink.to_owned(),
                topic: sink.to_owned(),
                offset: -1,
                reason: format!("the target does not take it: {}", rejected.reason),
                key: (!record.key.is_empty()).then(|| record.key.to_vec()),
                bytes: record.value.map(<[u8]>::to_vec),
                ..DeadLetter::default()
            };
            if let Err(error) = file.append(rejected.epoch, [letter]) {
                tracing::error!(epoch = %rejected.epoch, %error, "a record that the target does not take could not be kept beside the state; it is only counted");
            }
        }
    }
}

/// That a target has lost what was delivered, and nobody has it any more.
fn lacks(sink: &str, through: Epoch, gone: Epoch) -> PortError {
    let message = format!(
        "the target of sink '{sink}' says that it has what came through epoch {through}, and what came through {gone} was delivered and is kept no more: \
         somebody took it back; restore the target, or empty it and start the job under a new name with an empty state directory"
    );
    PortError::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
