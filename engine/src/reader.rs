//! Reading: polls one source, and tells the status now and then where its partitions end.

use std::sync::Arc;
use std::time::Duration;

use tidemill_connectors_api::{Source, SourceBatch};
use tidemill_types::ErrorKind;

use crate::{Clock, Error, Status};

/// About how much a poll brings.
const POLL_BYTES: usize = 1 << 20;
/// How often the status is told where each partition ends.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// Batches, perhaps none.
    Batches(Vec<SourceBatch>),
    /// The source is away; it is to be polled again after a while.
    Away,
}

/// Reads a source that is open.
pub struct Reader {
    /// Index of the source in the plan.
    index: usize,
    source: Box<dyn Source>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    /// When the status was told of the ends.
    ends_at: Option<Duration>,
}

impl Reader {
    /// A reader of source `index`.
    pub fn new(
        index: usize,
        source: Box<dyn Source>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            index,
            source,
            status,
            clock,
            ends_at: None,
        }
    }

    /// The source's topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.source.topic()
    }

    /// Waits up to `wait` for records.
    ///
    /// # Errors
    /// If reading cannot go on.
    pub fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        let now = self.clock.now();
        let mut batches = Vec::new();
        if self
            .ends_at
            .is_none_or(|at| now.saturating_sub(at) > ENDS_INTERVAL)
        {
            self.ends_at = Some(now);
            let ends = self.source.known_ends();
            self.status.sources[self.index].ends(&ends);
            // They go the way of the records, so that they say something of everything that was read before.
            let end = |&(partition, end)| SourceBatch::end(partition, end);
            batches.extend(ends.iter().map(end));
        }
        match self.source.poll(wait, POLL_BYTES, &mut batches) {
            Ok(()) => Ok(Polled::Batches(batches)),
            Err(error) if error.kind() == ErrorKind::Retry && batches.is_empty() => {
                tracing::warn!(topic = self.source.topic(), %error, "the source is away; trying again");
                Ok(Polled::Away)
            }
            // What it brought before it went away counts; the next poll tells again.
            Err(error) if error.kind() == ErrorKind::Retry => Ok(Polled::Batches(batches)),
            Err(error) => Err(error.into()),
        }
    }
}
