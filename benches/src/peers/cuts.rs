//! Where the outputs end, looked at all the time: tells when a system has written its last record, and takes the cuts at which totals are
//! compared later.
//!
//! A cut is what a `read_committed` reader could have read: offsets of all partitions, found the same in two looks one after the other, so
//! that nothing was committed between the first and the last of its questions. That is the same for every system; it takes as a cut
//! whatever a reader could have seen, half of a commit that goes over several transactions included.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tidemill_connectors_kafka::tools::Ends;
use tidemill_studio::topic::{CASH_FLOW_DAILY, PAYMENT_ENRICHED, PRODUCTION};

/// The outputs of the job.
pub const OUTPUTS: [&str; 3] = [PRODUCTION, PAYMENT_ENRICHED, CASH_FLOW_DAILY];
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the broker may have no answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// For every partition of the outputs the offset after its last record.
pub type Cut = Vec<i64>;

#[derive(Default)]
struct Seen {
    cuts: Vec<Cut>,
    last: Cut,
    changed: Option<Instant>,
}

/// Looks, in a thread of its own, until the value goes.
pub struct Watch {
    partitions: Vec<(String, u32)>,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Starts; the outputs must exist.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub fn start(bootstrap: &str) -> Result<Self> {
        let ends = Ends::open(bootstrap, &OUTPUTS)?;
        let partitions = ends.partitions().to_vec();
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (shared, asked_to_stop) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut answered = Instant::now();
            while !asked_to_stop.load(Ordering::Relaxed) {
                match ends.now() {
                    Ok(now) => {
                        answered = Instant::now();
                        let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.look(now, answered);
                    }
                    // A topic may have no leader for a moment.
                    Err(_) if answered.elapsed() < ANSWER_WAIT_MAX => {}
                    Err(error) => return Err(error.into()),
                }
                std::thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Self {
            partitions,
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// When something was last found to be new; `None` if nothing was ever written.
    #[must_use]
    pub fn changed(&self) -> Option<Instant> {
        self.seen().changed
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    /// With what it ended for.
    pub fn check(&mut self) -> Result<()> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join()?;
        }
        Ok(())
    }

    /// Stops, and hands out the cuts.
    ///
    /// # Errors
    /// If the broker did not answer meanwhile.
    pub fn finish(mut self) -> Result<Cuts> {
        self.stop.store(true, Ordering::Relaxed);
        self.join()?;
        let cuts = std::mem::take(&mut self.seen().cuts);
        Ok(Cuts {
            partitions: std::mem::take(&mut self.partitions),
            cuts,
        })
    }

    fn join(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let ended = thread.join();
        ended
            .map_err(|_| anyhow::anyhow!("the watch panicked"))?
            .context("the watch over the outputs")
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Seen {
    fn look(&mut self, now: Cut, at: Instant) {
        if now != self.last {
            // The first look finds what there was before.
            if !self.last.is_empty() {
                self.changed = Some(at);
            }
            self.last = now;
        } else if self.cuts.last() != Some(&self.last) {
            self.cuts.push(now);
        }
    }
}

/// All cuts of a turn, in order.
#[derive(Debug)]
pub struct Cuts {
    partitions: Vec<(String, u32)>,
    cuts: Vec<Cut>,
}

impl Cuts {
    /// Which cut has a record first; `None` if none has.
    #[must_use]
    pub fn first_with(&self, topic: &str, partition: u32, offset: i64) -> Option<usize> {
        let index = self
            .partitions
            .iter()
            .position(|(name, number)| name == topic && *number == partition)?;
        let first = self.cuts.partition_point(|cut| cut[index] <= offset);
        (first < self.cuts.len()).then_some(first)
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.cuts.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Cuts, Seen};

    #[test]
    fn a_cut_is_what_two_looks_agree_on() {
        let (mut seen, at) = (Seen::default(), Instant::now());
        for ends in [[0, 0], [0, 0], [5, 0], [5, 3], [5, 3], [5, 3], [6, 3]] {
            seen.look(ends.to_vec(), at);
        }
        assert_eq!(seen.cuts, [vec![0, 0], vec![5, 3]]);
        assert!(seen.changed.is_some());
    }

    #[test]
    fn a_record_belongs_to_the_first_cut_behind_it() {
        let cuts = Cuts {
            partitions: vec![("a".to_owned(), 0), ("a".to_owned(), 1)],
            cuts: vec![vec![2, 0], vec![2, 4]],
        };
        assert_eq!(cuts.first_with("a", 0, 1).unwrap(), 0);
        assert_eq!(cuts.first_with("a", 1, 3).unwrap(), 1);
        assert_eq!(cuts.first_with("a", 1, 4), None);
        assert_eq!(cuts.first_with("b", 0, 0), None);
    }
}
