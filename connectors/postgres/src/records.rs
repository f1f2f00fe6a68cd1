//! Which of the records that are delivered together go out, and what of them PostgreSQL takes.
//!
//! Promises: of states only the newest record of each key goes out, deletes before all others, in their order else; a record that is not taken is
//! found by halving, and what was to be there before it in the same parcels is there instead.
//! Does not know transactions: it is within one, of which a savepoint can be undone.

use hashbrown::HashSet;
use tidemill_connectors_api::{Parcel, Rejected};
use tidemill_types::Epoch;
use tidemill_types::format::Contents;

use crate::error::Failure;

/// How much goes with one statement: so little that a slow table takes it within a statement's time, and as fast as more. (Statements of 4 MiB
/// were a fifth slower.)
const BYTES_MAX: usize = 512 << 10;
const RECORDS_MAX: usize = 2_500;

/// One record, with its place.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub epoch: Epoch,
    pub number: usize,
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

impl Record<'_> {
    fn rejected(&self, reason: String) -> Rejected {
        Rejected {
            epoch: self.epoch,
            record: self.number,
            reason,
        }
    }

    fn bytes(&self) -> usize {
        self.value.unwrap_or(self.key).len()
    }
}

/// What is done with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Rows come or change.
    Put,
    /// Rows go.
    Delete,
}

/// Who does it: all records at once, or none of them.
pub trait Doer {
    /// Does it with records; says why not, if that is because of one of them.
    fn attempt(
        &mut self,
        doing: Doing,
        records: &[Record<'_>],
    ) -> Result<Result<(), String>, Failure>;
}

/// Delivers the records of parcels, and answers those that were not taken, in order.
pub fn deliver(
    parcels: &[Parcel],
    contents: Contents,
    doer: &mut dyn Doer,
) -> Result<Vec<Rejected>, Failure> {
    let all: Vec<Record<'_>> = parcels.iter().flat_map(records).collect();
    let mut rejected = Vec::new();
    let newest = match contents {
        Contents::States => newest(&all),
        Contents::Rows | Contents::Changes => all.clone(),
    };
    for doing in [Doing::Delete, Doing::Put] {
        let mine = |record: &Record<'_>| record.value.is_some() == (doing == Doing::Put);
        let records: Vec<Record<'_>> = newest.iter().copied().filter(mine).collect();
        for batch in batches(&records) {
            halve(doing, batch, doer, &mut rejected)?;
        }
    }
    if contents == Contents::States {
        step_back(&all, doer, &mut rejected)?;
    }
    rejected.sort_by_key(|rejected| (rejected.epoch, rejected.record));
    Ok(rejected)
}

fn records(parcel: &Parcel) -> impl Iterator<Item = Record<'_>> {
    let records = parcel.records.iter().enumerate();
    records.map(|(number, record)| Record {
        epoch: parcel.epoch,
        number,
        key: record.key,
        value: record.value,
    })
}

/// The last record of each key, in their order.
fn newest<'a>(all: &[Record<'a>]) -> Vec<Record<'a>> {
    let mut seen = HashSet::with_capacity(all.len());
    let from_behind = all.iter().rev();
    let mut newest: Vec<Record<'a>> = from_behind
        .filter(|record| seen.insert(record.key))
        .copied()
        .collect();
    newest.reverse();
    newest
}

/// Records in their order, in as many pieces as it takes; one that is larger than a piece is one.
fn batches<'r, 'a>(records: &'r [Record<'a>]) -> impl Iterator<Item = &'r [Record<'a>]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(RECORDS_MAX).take_while(|record| {
            bytes += record.bytes();
            bytes <= BYTES_MAX
        });
        let count = fits.count().max(1).min(rest.len());
        let (batch, behind) = rest.split_at(count);
        rest = behind;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Does it with all of them that are taken.
fn halve(
    doing: Doing,
    records: &[Record<'_>],
    doer: &mut dyn Doer,
    rejected: &mut Vec<Rejected>,
) -> Result<(), Failure> {
    let Err(reason) = doer.attempt(doing, records)? else {
        return Ok(());
    };
    if let [record] = records {
        rejected.push(record.rejected(reason));
        return Ok(());
    }
    let (one, other) = records.split_at(records.len() / 2);
    halve(doing, one, doer, rejected)?;
    halve(doing, other, doer, rejected)
}

/// Where the newest record of a key was not taken, the one before it counts, and so on.
fn step_back(
    all: &[Record<'_>],
    doer: &mut dyn Doer,
    rejected: &mut Vec<Rejected>,
) -> Result<(), Failure> {
    for at in 0..rejected.len() {
        let place = (rejected[at].epoch, rejected[at].record);
        let is_it = |record: &Record<'_>| (record.epoch, record.number) == place;
        let Some(position) = all.iter().position(is_it) else {
            continue;
        };
        let key = all[position].key;
        let before = all[..position].iter().rev();
        for record in before.filter(|record| record.key == key) {
            let doing = match record.value {
                Some(_) => Doing::Put,
                None => Doing::Delete,
            };
            match doer.attempt(doing, &[*record])? {
                Ok(()) => break,
                Err(reason) => rejected.push(record.rejected(reason)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        BYTES_MAX, Contents, Doer, Doing, Epoch, Failure, Parcel, RECORDS_MAX, Record, deliver,
    };

    /// A table that takes no value in which `bad` stands.
    #[derive(Default)]
    struct Picky {
        rows: BTreeMap<Vec<u8>, Vec<u8>>,
        attempts: Vec<(Doing, usize)>,
    }

    impl Doer for Picky {
        fn attempt(
            &mut self,
            doing: Doing,
            records: &[Record<'_>],
        ) -> Result<Result<(), String>, Failure> {
            self.attempts.push((doing, records.len()));
            let bad = |value: &[u8]| value.windows(3).any(|window| window == b"bad");
            if records.iter().any(|record| record.value.is_some_and(bad)) {
                return Ok(Err("it is bad".to_owned()));
            }
            for record in records {
                match (doing, record.value) {
                    (Doing::Put, Some(value)) => {
                        drop(self.rows.insert(record.key.into(), value.into()))
                    }
                    (Doing::Delete, None) => drop(self.rows.remove(record.key)),
                    mixed => panic!("{mixed:?}"),
                }
            }
            Ok(Ok(()))
        }
    }

    fn parcel(epoch: u64, records: &[(&str, Option<&str>)]) -> Parcel {
        let mut parcel = Parcel {
            epoch: Epoch(epoch),
            ..Parcel::default()
        };
        for (key, value) in records {
            parcel
                .records
                .push(key.as_bytes(), value.map(str::as_bytes));
        }
        parcel
    }

    fn delivered(parcels: &[Parcel], contents: Contents) -> (Picky, Vec<(u64, usize)>) {
        let mut table = Picky::default();
        let rejected = deliver(parcels, contents, &mut table).unwrap();
        let places = rejected
            .iter()
            .map(|rejected| (rejected.epoch.0, rejected.record));
        (table, places.collect())
    }

    fn rows(table: &Picky) -> Vec<(&str, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let rows = table.rows.iter();
        rows.map(|(key, value)| (text(key), text(value))).collect()
    }

    #[test]
    fn only_the_newest_record_of_a_key_goes_out() {
        let parcels = [
            parcel(1, &[("a", Some("1")), ("b", Some("1")), ("c", Some("bad"))]),
            parcel(2, &[("a", Some("2")), ("b", None), ("c", Some("2"))]),
        ];
        let (table, rejected) = delivered(&parcels, Contents::States);
        assert_eq!(rows(&table), [("a", "2"), ("c", "2")]);
        assert_eq!(table.attempts, [(Doing::Delete, 1), (Doing::Put, 2)]);
        assert_eq!(rejected, []);
    }

    #[test]
    fn what_is_not_taken_is_found_and_the_rest_is_there() {
        let names: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let bad = [0, 17, 18, 999];
        let value = |number| if bad.contains(&number) { "bad" } else { "good" };
        let records: Vec<(&str, Option<&str>)> = names
            .iter()
            .enumerate()
            .map(|(number, name)| (name.as_str(), Some(value(number))))
            .collect();
        let (table, rejected) = delivered(&[parcel(3, &records)], Contents::States);
        assert_eq!(rejected, bad.map(|number| (3, number)));
        assert_eq!(table.rows.len(), 996);
        assert!(table.attempts.len() < 100, "{}", table.attempts.len());
    }

    #[test]
    fn where_the_newest_record_of_a_key_is_not_taken_the_one_before_counts() {
        let parcels = [
            parcel(1, &[("a", Some("1")), ("b", Some("1"))]),
            parcel(2, &[("a", Some("bad 2")), ("b", None)]),
            parcel(3, &[("a", Some("bad 3")), ("b", Some("bad"))]),
        ];
        let (table, rejected) = delivered(&parcels, Contents::States);
        assert_eq!(rows(&table), [("a", "1")]);
        assert_eq!(rejected, [(2, 0), (3, 0), (3, 1)]);
    }

    #[test]
    fn rows_are_all_there_whatever_their_keys() {
        let parcels = [parcel(
            1,
            &[("", Some("1")), ("", Some("bad")), ("", Some("2"))],
        )];
        let (table, rejected) = delivered(&parcels, Contents::Rows);
        assert_eq!(rejected, [(1, 1)]);
        assert_eq!(
            table.attempts,
            [
                (Doing::Put, 3),
                (Doing::Put, 1),
                (Doing::Put, 2),
                (Doing::Put, 1),
                (Doing::Put, 1)
            ]
        );
    }

    #[test]
    fn a_statement_has_no_more_than_it_may() {
        let names: Vec<String> = (0..=RECORDS_MAX).map(|number| number.to_string()).collect();
        let records: Vec<(&str, Option<&str>)> = names
            .iter()
            .map(|name| (name.as_str(), Some("v")))
            .collect();
        let (table, _) = delivered(&[parcel(1, &records)], Contents::States);
        assert_eq!(table.attempts, [(Doing::Put, RECORDS_MAX), (Doing::Put, 1)]);
        let long = "x".repeat(BYTES_MAX - 10);
        let records = [
            ("a", Some(long.as_str())),
            ("b", Some(&long)),
            ("c", Some("v")),
        ];
        let (table, _) = delivered(&[parcel(1, &records)], Contents::States);
        assert_eq!(table.attempts, [(Doing::Put, 1), (Doing::Put, 2)]);
    }
}
