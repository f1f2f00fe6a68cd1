//! The journal's topic as its reader sees it: the end of it, and how much of its beginning nobody needs.
//!
//! Every entry carries its epoch in the header, and epochs never fall from one entry to the next. So the end is found by reading ever more of it,
//! and what may go is everything before an offset of which is known that no entry before it is of a needed epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use tidemill_connectors_api::Error;
use tidemill_types::Epoch;

use crate::native::Fetcher;
use crate::native::admin::{Answer, End, Question};
use crate::tools::read_ranges;
use crate::topics;

/// How many offsets are read at first; if an old enough entry is not among them, four times as many.
const TAIL_OFFSETS: i64 = 4_096;
/// The least distance of two marks.
const MARK_OFFSETS: i64 = 256;
/// How long the brokers may take to answer what is asked between commits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The journal's entries: all that are of epochs from `from` on, and at least the newest one. None if the topic doesn't exist.
pub fn read(
    reader: &mut Fetcher,
    topic: &str,
    from: Epoch,
    marks: &mut Marks,
) -> Result<Vec<Vec<u8>>, Error> {
    reader.drain_events();
    if topics::partitions(reader, topic)?.is_none() {
        return Ok(Vec::new());
    }
    let (low, high) = topics::watermarks(reader.client(), topic, 0)?;
    let mut offsets = TAIL_OFFSETS;
    loop {
        let start = if from == Epoch(0) {
            low
        } else {
            low.max(high - offsets)
        };
        let mut entries = Vec::new();
        let mut places = Vec::new();
        read_ranges(reader, topic, &[(0, start..high)], |record| {
            places.push((record.epoch.unwrap_or(Epoch(0)), record.offset));
            entries.push(record.value.unwrap_or_default().to_vec());
        })?;
        // A claim has the epoch of the record before it, so only an older one shows that nothing is missing.
        if start == low || places.first().is_some_and(|&(epoch, _)| epoch < from) {
            marks.read(&places);
            return Ok(entries);
        }
        offsets = offsets.saturating_mul(4);
    }
}

/// What is known of where epochs lie in the journal, for trimming it.
#[derive(Debug)]
pub struct Marks {
    /// No entry before the offset is of a later epoch.
    before: BTreeMap<Epoch, i64>,
    /// The newest epoch that has an entry.
    newest: Epoch,
    /// Whether it was asked where the journal ends.
    asked: bool,
}

impl Marks {
    /// Nothing is known.
    pub const fn new() -> Self {
        Self {
            before: BTreeMap::new(),
            newest: Epoch(0),
            asked: false,
        }
    }

    fn read(&mut self, places: &[(Epoch, i64)]) {
        let mut last: Option<i64> = None;
        for &(epoch, offset) in places {
            self.newest = self.newest.max(epoch);
            if last.is_none_or(|last| offset - last >= MARK_OFFSETS) {
                self.before.insert(epoch, offset + 1);
                last = Some(offset);
            }
        }
    }

    /// Nothing is known any more of commits that were under way.
    pub const fn forget_questions(&mut self) {
        self.asked = false;
    }

    /// Everything up to an epoch was committed.
    pub fn committed(&mut self, epoch: Epoch) {
        self.newest = self.newest.max(epoch);
    }

    /// Takes the answers that came. To be called while no commit is under way: then no entry is of an epoch after the newest committed one.
    pub fn take_answers(&mut self, reader: &Fetcher) {
        while let Some(answer) = reader.answer() {
            match answer {
                Answer::Offsets(ends) if self.asked => {
                    self.asked = false;
                    if let Some((_, Ok(end))) = ends.first() {
                        self.before.insert(self.newest, *end);
                    }
                }
                Answer::Failed(code, text) => {
                    self.asked = false;
                    tracing::warn!(%code, text, "the journal could not be trimmed; it is tried again after the next checkpoint");
                }
                Answer::Deleted | Answer::GroupTold | Answer::Offsets(_) | Answer::Topics(_) => {}
            }
        }
    }

    /// Has everything deleted that is known to be of epochs before `before`, and asks where the journal ends now, for the next time.
    pub fn trim(&mut self, reader: &Fetcher, topic: &str, before: Epoch) {
        if let Some((epoch, offset)) = self.deletable(before) {
            reader.ask(&Question::DeleteBefore(topic, 0, offset), PATIENCE);
            self.before = self.before.split_off(&epoch.next());
        }
        if !self.asked {
            let end = topics::places(topic, &[0]);
            reader.ask(&Question::Offsets(&end, End::Newest), PATIENCE);
            self.asked = true;
        }
    }

    /// The newest mark of which all entries before it may go: never the newest record, whatever is asked for.
    fn deletable(&self, before: Epoch) -> Option<(Epoch, i64)> {
        let marks = self.before.range(..before.min(self.newest));
        marks.last().map(|(&epoch, &offset)| (epoch, offset))
    }
}

#[cfg(test)]
mod tests {
    use tidemill_types::Epoch;

    use super::Marks;

    fn marks(places: &[(u64, i64)]) -> Marks {
        let mut marks = Marks::new();
        let places: Vec<_> = places
            .iter()
            .map(|&(epoch, offset)| (Epoch(epoch), offset))
            .collect();
        marks.read(&places);
        marks
    }

    #[test]
    fn only_what_lies_before_a_needed_epoch_is_deleted() {
        let marks = marks(&[(1, 0), (200, 400), (400, 800)]);
        assert_eq!(marks.deletable(Epoch(1)), None);
        assert_eq!(marks.deletable(Epoch(200)), Some((Epoch(1), 1)));
        assert_eq!(marks.deletable(Epoch(201)), Some((Epoch(200), 401)));
    }

    #[test]
    fn the_newest_record_is_never_deleted() {
        let mut marks = marks(&[(1, 0), (200, 400)]);
        assert_eq!(marks.deletable(Epoch(999)), Some((Epoch(1), 1)));
        marks.committed(Epoch(201));
        assert_eq!(marks.deletable(Epoch(999)), Some((Epoch(200), 401)));
    }
}
