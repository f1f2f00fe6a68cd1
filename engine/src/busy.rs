//! How long the operators of the dataflow work: what timely logs of their turns, added up by name.
//!
//! Promises: whatever lies in each other counts once, so that the sum over all operators is the time that the workers were at work. Time is
//! by the clock: a worker that waits for a processor, or a disk, counts as busy.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crate::Status;

/// Time by operator, of all workers together.
#[derive(Debug, Default)]
pub struct Busy(Mutex<BTreeMap<Arc<str>, Duration>>);

impl Busy {
    /// The operators by name, each with its time.
    #[must_use]
    pub fn by_operator(&self) -> Vec<(Arc<str>, Duration)> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = times.iter();
        times
            .map(|(name, &time)| (Arc::clone(name), time))
            .collect()
    }

    fn add(&self, times: impl Iterator<Item = (Arc<str>, Duration)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, time) in times {
            *known.entry(name).or_default() += time;
        }
    }
}

/// Lets a worker account for the turns of the operators that it is about to get.
pub fn account(worker: &Worker, status: &Arc<Status>) {
    let Some(mut loggers) = worker.log_register() else {
        return;
    };
    let (status, mut turns) = (Arc::clone(status), Turns::default());
    loggers.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
        for (at, event) in events.iter().flatten() {
            turns.take(*at, event);
        }
        status.busy.add(turns.sums());
    });
}

/// The turns of one worker's operators.
#[derive(Debug, Default)]
struct Turns {
    /// By operator, its name and what is not handed over yet.
    operators: HashMap<usize, (Arc<str>, Duration)>,
    /// Those that have begun and not ended, each in the one before: since when, and how long others took in it.
    open: Vec<(Duration, Duration)>,
}

impl Turns {
    fn take(&mut self, at: Duration, event: &TimelyEvent) {
        match event {
            TimelyEvent::Operates(operator) => {
                let name = Arc::from(operator.name.as_str());
                self.operators.insert(operator.id, (name, Duration::ZERO));
            }
            TimelyEvent::Schedule(turn) => match turn.start_stop {
                StartStop::Start => self.open.push((at, Duration::ZERO)),
                StartStop::Stop => self.end(at, turn.id),
            },
            _ => {}
        }
    }

    fn end(&mut self, at: Duration, operator: usize) {
        let Some((since, of_others)) = self.open.pop() else {
            return;
        };
        let took = at.saturating_sub(since);
        if let Some((_, time)) = self.operators.get_mut(&operator) {
            *time += took.saturating_sub(of_others);
        }
        if let Some((_, of_others)) = self.open.last_mut() {
            *of_others += took;
        }
    }

    /// What was not handed over yet.
    fn sums(&mut self) -> impl Iterator<Item = (Arc<str>, Duration)> {
        let operators = self.operators.values_mut();
        let sums = operators.map(|(name, time)| (Arc::clone(name), std::mem::take(time)));
        sums.filter(|(_, time)| !time.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use timely::logging::{OperatesEvent, ScheduleEvent, TimelyEvent};

    use super::{Busy, Turns};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn time_in_one_another_counts_once_and_names_are_added_up() {
        let mut turns = Turns::default();
        for (id, name) in [(1, "dataflow"), (2, "dedup"), (3, "dedup")] {
            let (addr, name) = (vec![0, id], name.to_owned());
            let operator = TimelyEvent::Operates(OperatesEvent { id, addr, name });
            turns.take(ms(0), &operator);
        }
        let busy = Busy::default();
        let mut turn = |at, event| turns.take(ms(at), &TimelyEvent::Schedule(event));
        turn(10, ScheduleEvent::start(1));
        turn(11, ScheduleEvent::start(2));
        turn(15, ScheduleEvent::stop(2));
        turn(16, ScheduleEvent::start(3));
        turn(18, ScheduleEvent::stop(3));
        turn(20, ScheduleEvent::stop(1));
        busy.add(turns.sums());
        busy.add(turns.sums());
        let times = busy.by_operator();
        let times: Vec<_> = times.iter().map(|(name, time)| (&**name, *time)).collect();
        assert_eq!(times, [("dataflow", ms(4)), ("dedup", ms(6))]);
    }
}
