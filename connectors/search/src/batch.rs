//! Which records of several parcels go out, and in which order.
//!
//! Of a key only the newest record does: the older ones would be overwritten at once. Where the index rejects that one, the record before it
//! counts, as if the rejected one had never been there. So records are in a chain by key, and what is rejected gives way to the one before.
//!
//! Promises: each record goes out at most once; two that are out at the same time have different ids.

use std::collections::{HashMap, VecDeque};

use tidemill_connectors_api::{Parcel, Rejected};
use tidemill_types::Epoch;

use crate::document::{id_of_key, id_of_place};

/// How the ids of documents come about.
#[derive(Debug, Clone, Copy)]
pub enum Ids<'a> {
    /// From the records' keys: only the newest record of one counts.
    OfKeys,
    /// From the records' places, in the history named: all count.
    OfPlaces(&'a str),
}

/// A record on its way.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub epoch: Epoch,
    /// Its place among those of its epoch.
    place: usize,
    key: &'a [u8],
    /// None deletes its document.
    pub value: Option<&'a [u8]>,
}

/// The records of parcels.
#[derive(Debug)]
pub struct Batch<'a> {
    ids: Ids<'a>,
    records: Vec<Record<'a>>,
    /// Of each record the one before it that has the same key.
    before: Vec<Option<usize>>,
    /// Those that are to go out next.
    pending: VecDeque<usize>,
    rejected: Vec<Rejected>,
}

impl<'a> Batch<'a> {
    /// The records of parcels of ascending epochs.
    pub fn new<'b: 'a>(parcels: impl Iterator<Item = &'b Parcel>, ids: Ids<'a>) -> Self {
        let mut records = Vec::new();
        for parcel in parcels {
            let of_parcel = parcel.records.iter().enumerate();
            records.extend(of_parcel.map(|(place, record)| Record {
                epoch: parcel.epoch,
                place,
                key: record.key,
                value: record.value,
            }));
        }
        let mut before = vec![None; records.len()];
        let pending = match ids {
            Ids::OfKeys => {
                let mut newest: HashMap<&[u8], usize> = HashMap::new();
                for (at, record) in records.iter().enumerate() {
                    before[at] = newest.insert(record.key, at);
                }
                let mut newest: Vec<usize> = newest.into_values().collect();
                newest.sort_unstable();
                newest.into()
            }
            // Without a value there is nothing to add.
            Ids::OfPlaces(_) => (0..records.len())
                .filter(|&at| records[at].value.is_some())
                .collect(),
        };
        Self {
            ids,
            records,
            before,
            pending,
            rejected: Vec::new(),
        }
    }

    /// The next record to go out.
    pub fn next(&mut self) -> Option<usize> {
        self.pending.pop_front()
    }

    /// One that goes out later after all: before all others.
    pub fn put_back(&mut self, at: usize) {
        self.pending.push_front(at);
    }

    pub fn record(&self, at: usize) -> &Record<'a> {
        &self.records[at]
    }

    /// The id of a record's document.
    pub fn id(&self, at: usize) -> String {
        let record = &self.records[at];
        match self.ids {
            Ids::OfKeys => id_of_key(record.key),
            Ids::OfPlaces(history) => id_of_place(history, record.epoch, record.place),
        }
    }

    /// That the index does not take a record, for this reason.
    pub fn reject(&mut self, at: usize, reason: String) {
        let record = &self.records[at];
        self.rejected.push(Rejected {
            epoch: record.epoch,
            record: record.place,
            reason,
        });
        self.pending.extend(self.before[at]);
    }

    /// What was rejected, in the records' order.
    pub fn into_rejected(mut self) -> Vec<Rejected> {
        self.rejected
            .sort_unstable_by_key(|rejected| (rejected.epoch, rejected.record));
        self.rejected
    }
}

#[cfg(test)]
mod tests {
    use tidemill_connectors_api::Parcel;
    use tidemill_types::Epoch;

    use super::{Batch, Ids};

    fn parcels() -> [Parcel; 2] {
        let mut parcels = [4, 7].map(|epoch| Parcel {
            epoch: Epoch(epoch),
            ..Parcel::default()
        });
        parcels[0].records.push(b"1", Some(b"a"));
        parcels[0].records.push(b"2", None);
        parcels[1].records.push(b"1", Some(b"b"));
        parcels
    }

    fn out(batch: &mut Batch<'_>) -> Vec<(String, u64)> {
        std::iter::from_fn(|| {
            let at = batch.next()?;
            Some((batch.id(at), batch.record(at).epoch.0))
        })
        .collect()
    }

    #[test]
    fn the_newest_record_of_a_key_goes_out_and_the_one_before_where_it_is_rejected() {
        let parcels = parcels();
        let mut batch = Batch::new(parcels.iter(), Ids::OfKeys);
        assert_eq!(out(&mut batch), [("2".to_owned(), 4), ("1".to_owned(), 7)]);
        batch.reject(2, "no".to_owned());
        assert_eq!(out(&mut batch), [("1".to_owned(), 4)]);
        batch.reject(0, "nor this".to_owned());
        assert_eq!(out(&mut batch), []);
        let rejected = batch.into_rejected();
        let rejected: Vec<_> = rejected
            .iter()
            .map(|one| (one.epoch.0, one.record))
            .collect();
        assert_eq!(rejected, [(4, 0), (7, 0)]);
    }

    #[test]
    fn all_rows_without_a_key_go_out() {
        let parcels = parcels();
        let mut batch = Batch::new(parcels.iter(), Ids::OfPlaces("h"));
        assert_eq!(
            out(&mut batch),
            [("h-4-0".to_owned(), 4), ("h-7-0".to_owned(), 7)]
        );
    }
}
