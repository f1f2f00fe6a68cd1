//! The rows of a sink's keys, where several rows may have one key: of each key the least row (by its encoded value) is
//! shown.
//!
//! What is shown follows from the rows alone, so it depends neither on the order in which they came nor on a restart;
//! and when the row that is shown goes, the next one takes its place.
//!
//! State: key → its rows in order, each as `count (i64) | length (u32) | encoded value`. Does not promise to be cheap
//! for a key with many rows: a change of one costs as much as the key has rows. The cure is a key that tells the rows
//! apart.

use tidemill_state::{Change, Table};
use tidemill_types::key_group;

use crate::Error;
use crate::error::Context;

/// How often a row came or went in an epoch; never zero. In order of key and value.
pub struct Net<'a> {
    /// Encoded key.
    pub key: &'a [u8],
    /// Encoded value.
    pub value: &'a [u8],
    /// How often.
    pub diff: i64,
}

/// One worker's rows.
pub struct KeptRows(Table);

/// A row of a key, and how often it is there.
struct Row<'a> {
    value: &'a [u8],
    count: i64,
}

impl KeptRows {
    /// The rows in a table of this sink's own.
    pub const fn new(state: Table) -> Self {
        Self(state)
    }

    /// Applies an epoch's net changes. Calls `shows` with each key whose shown row changed, in order, and the row shown
    /// before and after. Returns by how many the rows that are not shown became more, summed over the keys where they
    /// did.
    ///
    /// # Errors
    /// If state cannot be read or written.
    pub fn apply(
        &mut self,
        name: &str,
        nets: &[Net<'_>],
        mut shows: impl FnMut(&[u8], Option<&[u8]>, Option<&[u8]>),
    ) -> Result<u64, Error> {
        let keys: Vec<&[Net<'_>]> = nets.chunk_by(|a, b| a.key == b.key).collect();
        let lookups: Vec<(u16, &[u8])> = keys
            .iter()
            .map(|nets| (key_group(nets[0].key), nets[0].key))
            .collect();
        let mut conflicts = 0;
        let mut broken = false;
        self.0
            .update_many(&lookups, |i, entry, new| {
                let Some(before) = read(entry.unwrap_or_default()) else {
                    broken = true;
                    return Change::Keep;
                };
                let after = merged(&before, keys[i]);
                conflicts += hidden(&after).saturating_sub(hidden(&before));
                let (shown, now_shown) = (shown(&before), shown(&after));
                if shown != now_shown {
                    shows(lookups[i].1, shown, now_shown);
                }
                if after.is_empty() {
                    return Change::Delete;
                }
                write(&after, new);
                Change::Put
            })
            .of(name)?;
        if broken {
            return Err(Error::Entry {
                operator: name.to_owned(),
            });
        }
        Ok(conflicts)
    }
}

/// The rows of an entry, in order; `None` if it is cut short.
fn read(mut entry: &[u8]) -> Option<Vec<Row<'_>>> {
    let mut rows = Vec::new();
    while !entry.is_empty() {
        let (count, rest) = entry.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (value, rest) = rest.split_at_checked(len)?;
        rows.push(Row {
            value,
            count: i64::from_be_bytes(*count),
        });
        entry = rest;
    }
    Some(rows)
}

fn write(rows: &[Row<'_>], entry: &mut Vec<u8>) {
    for row in rows {
        let len = u32::try_from(row.value.len()).expect("an encoded row is far below 4 GiB");
        entry.extend_from_slice(&row.count.to_be_bytes());
        entry.extend_from_slice(&len.to_be_bytes());
        entry.extend_from_slice(row.value);
    }
}

/// Both lists are in order of value, and so is what comes of them.
fn merged<'a>(rows: &[Row<'a>], nets: &[Net<'a>]) -> Vec<Row<'a>> {
    let mut merged = Vec::with_capacity(rows.len() + nets.len());
    let mut rows = rows.iter().peekable();
    for net in nets {
        while let Some(row) = rows.next_if(|row| row.value < net.value) {
            merged.push(Row { ..*row });
        }
        let held = rows.next_if(|row| row.value == net.value);
        let count = held.map_or(0, |row| row.count) + net.diff;
        if count != 0 {
            merged.push(Row {
                value: net.value,
                count,
            });
        }
    }
    merged.extend(rows.map(|row| Row { ..*row }));
    merged
}

fn shown<'a>(rows: &[Row<'a>]) -> Option<&'a [u8]> {
    rows.iter().find(|row| row.count > 0).map(|row| row.value)
}

/// How many rows there are beside the one that is shown.
fn hidden(rows: &[Row<'_>]) -> u64 {
    let counts = rows.iter().map(|row| u64::try_from(row.count).unwrap_or(0));
    counts.sum::<u64>().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{Row, read, write};

    #[test]
    fn the_bytes_of_an_entry_are_frozen() {
        let rows = [
            Row {
                value: b"a",
                count: 2,
            },
            Row {
                value: b"",
                count: 1,
            },
        ];
        let mut entry = Vec::new();
        write(&rows, &mut entry);
        assert_eq!(
            entry,
            b"\0\0\0\0\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x01\0\0\0\0"
        );
        let read: Vec<_> = read(&entry)
            .expect("whole")
            .iter()
            .map(|row| (row.value, row.count))
            .collect();
        assert_eq!(read, [(&b"a"[..], 2), (b"", 1)]);
    }

    #[test]
    fn an_entry_that_is_cut_short_is_not_read() {
        let entry = b"\0\0\0\0\0\0\0\x02\0\0\0\x02a";
        assert!((1..entry.len()).all(|len| read(&entry[..len]).is_none()));
    }
}
