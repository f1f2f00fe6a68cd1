//! Source threads: each polls one source into a bounded channel. A full channel is the backpressure: the thread waits, and the source is
//! not polled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use tidemill_connectors_api::{Source, SourceBatch};
use tidemill_types::ErrorKind;

use crate::event::{Event, PanicReport};
use crate::{Error, Status};

/// How long a poll waits for records.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// About how much a poll brings.
const POLL_BYTES: usize = 1 << 20;
/// How many polls' results may wait.
const POLLS_WAITING: usize = 6;
/// How often the end of each partition is asked for.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait before a source that is away is asked again.
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// Starts the thread of source `index`, already open.
pub fn spawn(
    index: usize,
    mut source: Box<dyn Source>,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    events: Sender<Event>,
) -> Result<(Receiver<Vec<SourceBatch>>, JoinHandle<()>), Error> {
    let (sender, receiver) = bounded(POLLS_WAITING);
    let thread = std::thread::Builder::new()
        .name(format!("source-{index}"))
        .spawn(move || {
            let _report = PanicReport {
                thread: format!("the reader of '{}'", source.topic()),
                events: events.clone(),
            };
            if let Err(error) = read(index, source.as_mut(), &status, &stop, &sender) {
                // Nobody listens any more only if the run is over.
                let _ = events.send(Event::Failed(error));
            }
        });
    Ok((
        receiver,
        thread.map_err(|error| Error::Spawn(error.to_string()))?,
    ))
}

fn read(
    index: usize,
    source: &mut dyn Source,
    status: &Status,
    stop: &AtomicBool,
    sender: &Sender<Vec<SourceBatch>>,
) -> Result<(), Error> {
    let mut ends_read: Option<Instant> = None;
    let mut batches = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if ends_read.is_none_or(|at| at.elapsed() > ENDS_INTERVAL) {
            ends_read = Some(Instant::now());
            if let Ok(ends) = source.end_offsets() {
                set_ends(status, index, &ends);
                // They go the way of the records, so that they say something of everything that was read before.
                let end = |&(partition, end)| SourceBatch::end(partition, end);
                batches.extend(ends.iter().map(end));
            }
        }
        match source.poll(POLL_WAIT, POLL_BYTES, &mut batches) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(topic = source.topic(), %error, "the source is away; trying again");
                std::thread::sleep(RETRY_WAIT);
            }
            Err(error) => return Err(error.into()),
        }
        let mut waiting = std::mem::take(&mut batches);
        while !waiting.is_empty() {
            match sender.send_timeout(waiting, POLL_WAIT) {
                Ok(()) => break,
                Err(SendTimeoutError::Timeout(_)) if stop.load(Ordering::Relaxed) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => waiting = back,
                Err(SendTimeoutError::Disconnected(_)) => return Ok(()),
            }
        }
    }
    Ok(())
}

fn set_ends(status: &Status, index: usize, ends: &[(u32, i64)]) {
    let mut positions = status.sources[index]
        .positions
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for &(partition, end) in ends {
        match positions
            .iter_mut()
            .find(|position| position.0 == partition)
        {
            Some(position) => position.2 = end,
            None => positions.push((partition, 0, end)),
        }
    }
}
