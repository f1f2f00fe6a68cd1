//! How many ids that a registry does not know it is asked for: bytes that only look as if they named a schema would be a question each, and a
//! file each.
//!
//! Promises that ids which the registry knows are not held up unless as many others came just before. Does not decide what an id is: who is
//! held up asks again, so a replay, for which the answers are kept, comes to the same.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

/// In which time they are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// The newest unknown ids, by when the registry said so.
#[derive(Debug)]
pub struct Unknown {
    max: usize,
    answered: Mutex<VecDeque<Instant>>,
}

impl Unknown {
    /// At most so many a second.
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            answered: Mutex::new(VecDeque::new()),
        }
    }

    /// Refuses a question for now, if there were too many unknown ids within the last second.
    pub fn admit(&self, now: Instant) -> Result<(), Error> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |at: &mut Instant| now.duration_since(*at) >= WINDOW;
        while answered.pop_front_if(is_old).is_some() {}
        if answered.len() < self.max {
            return Ok(());
        }
        let message = format!(
            "more than {} records a second name schemas that the registry does not know; it is asked again in a second: look at who writes to \
             the topic, or whether its records are framed at all",
            self.max
        );
        Err(Error::new(ErrorKind::Retry, message))
    }

    /// The registry did not know an id.
    pub fn count(&self, now: Instant) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tidemill_types::ErrorKind;

    use super::Unknown;

    #[test]
    fn so_many_unknown_ids_are_asked_for_in_a_second_and_then_as_many_again() {
        let (unknown, start) = (Unknown::new(3), Instant::now());
        for at in [0, 100, 200] {
            let now = start + Duration::from_millis(at);
            unknown.admit(now).unwrap();
            unknown.count(now);
        }
        let refused = |at| unknown.admit(start + Duration::from_millis(at));
        assert_eq!(refused(900).unwrap_err().kind(), ErrorKind::Retry);
        assert!(refused(1_000).is_ok());
        unknown.count(start + Duration::from_millis(1_000));
        assert!(refused(1_050).is_err() && refused(1_100).is_ok());
    }
}
