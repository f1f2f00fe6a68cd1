//! The log of a partition: records and the markers that end transactions, at consecutive offsets.

use super::{Outcome, TransactionId};

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The epoch in its header, on what a job wrote.
    pub epoch: Option<u64>,
    /// Its headers, beside the epoch's.
    pub headers: Vec<Header>,
    /// Its time: when it was written, unless its writer said another one. In milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// The name and the value of a header.
pub type Header = (Vec<u8>, Vec<u8>);

/// What stands at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record(Record),
    /// The end of a transaction; readers never see it.
    Marker,
}

/// A partition's log.
#[derive(Debug, Default)]
pub struct Partition {
    /// The oldest retained offset. What lies before it is kept for who checks what was.
    start: i64,
    entries: Vec<(Entry, Option<TransactionId>)>,
}

impl Partition {
    /// The oldest retained offset.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// The offset after the last entry.
    #[must_use]
    pub const fn end_offset(&self) -> i64 {
        self.entries.len() as i64
    }

    pub(super) fn append(&mut self, entry: Entry, transaction: Option<TransactionId>) {
        self.entries.push((entry, transaction));
    }

    /// Writes the marker of a transaction that wrote here.
    pub(super) fn end(&mut self, transaction: TransactionId) {
        if self.entries.iter().any(|(_, of)| *of == Some(transaction)) {
            self.entries.push((Entry::Marker, Some(transaction)));
        }
    }

    pub(super) fn retain_from(&mut self, offset: i64) {
        self.start = offset.clamp(self.start, self.end_offset());
    }

    /// How far a reader of committed data gets: to the first record of a transaction whose markers are not written.
    #[must_use]
    pub fn last_stable_offset(&self, transactions: &[Outcome]) -> i64 {
        let open = |(_, of): &(Entry, Option<TransactionId>)| {
            of.is_some_and(|of| outcome(of, transactions) == Outcome::Open)
        };
        let first = self.entries.iter().position(open);
        first.map_or(self.end_offset(), |first| first as i64)
    }

    /// True if what stands before a position and what comes after it are of one transaction.
    pub(super) fn is_within(&self, position: i64) -> bool {
        let Ok(at) = usize::try_from(position) else {
            return false;
        };
        let (before, after) = self.entries.split_at(at.min(self.entries.len()));
        let is_record = |entry: &&(Entry, _)| matches!(entry.0, Entry::Record(_));
        let (last, next) = (
            before.last().filter(is_record),
            after.first().filter(is_record),
        );
        let of = |entry: Option<&(Entry, Option<TransactionId>)>| entry.and_then(|entry| entry.1);
        of(last).is_some() && of(last) == of(next)
    }

    /// What a reader of committed data finds from an offset on.
    pub(super) fn committed<'a>(
        &'a self,
        from: i64,
        transactions: &'a [Outcome],
    ) -> impl Iterator<Item = (i64, &'a Record)> {
        let end = self.last_stable_offset(transactions);
        let skipped = usize::try_from(from).expect("offsets are not negative");
        let entries = (0..end).zip(&self.entries).skip(skipped);
        entries.filter_map(|(offset, (entry, of))| match (entry, of) {
            (Entry::Marker, _) => None,
            (Entry::Record(_), Some(of)) if outcome(*of, transactions) != Outcome::Committed => {
                None
            }
            (Entry::Record(record), _) => Some((offset, record)),
        })
    }
}

fn outcome(transaction: TransactionId, transactions: &[Outcome]) -> Outcome {
    transactions[usize::try_from(transaction).expect("few transactions")]
}
