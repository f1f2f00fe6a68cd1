//! What a sink writes in one epoch, encoded.

use crate::Epoch;
use crate::raw::Headers;

/// Records for one sink in one epoch, in the order in which they are written, their bytes in one arena.
#[derive(Debug, Clone, Default)]
pub struct OutputRecords {
    /// Keys, values and headers, back to back.
    pub arena: Vec<u8>,
    /// Per record: end of key (its start is the end of the record before) and end of value; equal key bounds are "no key".
    entries: Vec<(u32, Option<u32>)>,
    /// Per record what stands beside key and value; empty where no record has something there.
    metadata: Vec<Metadata>,
}

/// What stands beside key and value of a record.
#[derive(Debug, Clone, Copy)]
struct Metadata {
    /// End of the headers, which begin where the value ends.
    headers_end: u32,
    timestamp_ms: Option<i64>,
}

/// What an epoch has for a sink that is given it after the commit: at least one record, each key and value in the sink's format; a value that
/// is not there deletes the key.
#[derive(Debug, Clone, Default)]
pub struct Parcel {
    /// The epoch.
    pub epoch: Epoch,
    /// Its records, in an order that is always the same; of states at most one per key.
    pub records: OutputRecords,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRecord<'a> {
    /// Its key; the empty slice is "no key".
    pub key: &'a [u8],
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
    /// Its time, in milliseconds since 1970; none is that of writing.
    pub timestamp_ms: Option<i64>,
}

impl<'a> OutputRecord<'a> {
    /// A record with nothing beside key and value.
    #[must_use]
    pub const fn bare(key: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self {
            key,
            value,
            headers: Headers::NONE,
            timestamp_ms: None,
        }
    }
}

impl OutputRecords {
    /// Appends a record; no key is the empty slice, no value is a tombstone.
    ///
    /// # Panics
    /// If the arena would pass 4 GiB; the engine bounds an epoch far below.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.push_with(
            |arena| arena.extend_from_slice(key),
            |arena| {
                arena.extend_from_slice(value.unwrap_or_default());
                value.is_some()
            },
        );
    }

    /// Appends a record whose key and value are written to the end of the arena by the functions given; false from the second, which then
    /// wrote nothing, is a tombstone.
    ///
    /// # Panics
    /// As [`OutputRecords::push`].
    #[inline]
    pub fn push_with(
        &mut self,
        write_key: impl FnOnce(&mut Vec<u8>),
        write_value: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        write_key(&mut self.arena);
        let key_end = end(self.arena.len());
        let value_end = write_value(&mut self.arena).then(|| end(self.arena.len()));
        self.entries.push((key_end, value_end));
        if !self.metadata.is_empty() {
            self.fill_metadata();
        }
    }

    /// Gives the last record a time, and headers, which `write_headers` writes to the end of the arena
    /// ([`write_header`](crate::raw::write_header)).
    ///
    /// # Panics
    /// As [`OutputRecords::push`]; without a record there is nothing that could have them.
    pub fn push_metadata(
        &mut self,
        timestamp_ms: Option<i64>,
        write_headers: impl FnOnce(&mut Vec<u8>),
    ) {
        self.fill_metadata();
        write_headers(&mut self.arena);
        let headers_end = end(self.arena.len());
        let last = self.metadata.last_mut();
        *last.expect("metadata follows its record") = Metadata {
            headers_end,
            timestamp_ms,
        };
    }

    /// Appends a record with all that it has.
    ///
    /// # Panics
    /// As [`OutputRecords::push`].
    pub fn push_record(&mut self, record: OutputRecord<'_>) {
        self.push(record.key, record.value);
        if !record.headers.is_empty() || record.timestamp_ms.is_some() {
            let headers = record.headers;
            self.push_metadata(record.timestamp_ms, |arena| headers.copy_to(arena));
        }
    }

    /// Says of each record that has no metadata yet that it has nothing there.
    fn fill_metadata(&mut self) {
        let bare = self.entries.iter().skip(self.metadata.len());
        let bare = bare.map(|&(key_end, value_end)| Metadata {
            headers_end: value_end.unwrap_or(key_end),
            timestamp_ms: None,
        });
        self.metadata.extend(bare);
    }

    /// Takes the last record back, as `(key, value)`.
    pub fn pop(&mut self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let (key_end, value_end) = self.entries.pop()?;
        self.metadata.truncate(self.entries.len());
        self.arena.truncate(value_end.unwrap_or(key_end) as usize);
        let value = value_end.map(|_| self.arena.split_off(key_end as usize));
        Some((self.arena.split_off(self.end_of_last()), value))
    }

    /// Where the last record ends.
    fn end_of_last(&self) -> usize {
        let of_entry = self.entries.last();
        let of_entry = of_entry.map(|&(key_end, value_end)| value_end.unwrap_or(key_end));
        let of_metadata = self.metadata.last().map(|of| of.headers_end);
        of_metadata.or(of_entry).unwrap_or(0) as usize
    }

    /// Makes room for `records` more with `bytes` in all.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.entries.reserve(records);
        self.arena.reserve(bytes);
    }

    /// Appends all records of `other`.
    ///
    /// # Panics
    /// As [`OutputRecords::push`].
    pub fn append(&mut self, other: &Self) {
        let start = end(self.arena.len());
        // The last one's end is the greatest.
        let _ = end(self.arena.len() + other.arena.len());
        self.arena.extend_from_slice(&other.arena);
        if !other.metadata.is_empty() {
            self.fill_metadata();
        }
        let moved = |&(key_end, value_end): &(u32, Option<u32>)| {
            (start + key_end, value_end.map(|end| start + end))
        };
        self.entries.extend(other.entries.iter().map(moved));
        let moved = |of: &Metadata| Metadata {
            headers_end: start + of.headers_end,
            ..*of
        };
        self.metadata.extend(other.metadata.iter().map(moved));
        if !self.metadata.is_empty() {
            self.fill_metadata();
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Each record.
    pub fn iter(&self) -> impl Iterator<Item = OutputRecord<'_>> {
        let mut start = 0;
        let entries = self.entries.iter().enumerate();
        entries.map(move |(i, &(key_end, value_end))| {
            let part = |from: u32, to: u32| &self.arena[from as usize..to as usize];
            let metadata = self.metadata.get(i);
            let bare_end = value_end.unwrap_or(key_end);
            let headers_end = metadata.map_or(bare_end, |of| of.headers_end);
            let key = part(start, key_end);
            start = headers_end;
            OutputRecord {
                key,
                value: value_end.map(|end| part(key_end, end)),
                headers: Headers::of(part(bare_end, headers_end)),
                timestamp_ms: metadata.and_then(|of| of.timestamp_ms),
            }
        })
    }
}

fn end(len: usize) -> u32 {
    u32::try_from(len).expect("an epoch's output to one sink is bounded below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::{OutputRecord, OutputRecords};
    use crate::raw::write_header;

    fn bare(records: &OutputRecords) -> Vec<(&[u8], Option<&[u8]>)> {
        let pairs = records.iter().map(|record| (record.key, record.value));
        pairs.collect()
    }

    fn with_a_header(key: &[u8], value: Option<&[u8]>, header: &[u8]) -> OutputRecords {
        let mut records = OutputRecords::default();
        records.push(key, value);
        records.push_metadata(Some(7), |arena| {
            write_header(arena, b"trace", |arena| {
                arena.extend_from_slice(header);
                true
            });
        });
        records
    }

    fn headers<'a>(record: &OutputRecord<'a>) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
        record.headers.collect()
    }

    #[test]
    fn appended_records_follow_with_their_keys_and_tombstones() {
        let (mut first, mut second) = (OutputRecords::default(), OutputRecords::default());
        first.push(b"a", Some(b"1"));
        second.push(b"b", None);
        second.push(b"", Some(b"23"));
        first.append(&second);
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", Some(b"1")), (b"b", None), (b"", Some(b"23"))];
        assert_eq!(bare(&first), expected);
    }

    #[test]
    fn the_last_record_can_be_taken_back() {
        let mut records = OutputRecords::default();
        records.push(b"a", Some(b"1"));
        records.push(b"b", None);
        records.push(b"", Some(b"23"));
        assert_eq!(records.pop(), Some((vec![], Some(b"23".to_vec()))));
        assert_eq!(records.pop(), Some((b"b".to_vec(), None)));
        assert_eq!(bare(&records), [(&b"a"[..], Some(&b"1"[..]))]);
    }

    #[test]
    fn headers_and_times_stay_with_their_records() {
        let mut records = OutputRecords::default();
        records.push(b"a", Some(b"1"));
        records.append(&with_a_header(b"b", None, b"x"));
        records.push(b"c", Some(b"2"));
        records.append(&with_a_header(b"d", Some(b"3"), b""));
        let mut others = OutputRecords::default();
        others.push(b"e", Some(b"4"));
        records.append(&others);
        let mut again = OutputRecords::default();
        records.iter().for_each(|record| again.push_record(record));
        assert!(again.iter().eq(records.iter()));
        let of: Vec<_> = records
            .iter()
            .map(|record| (record.key, headers(&record), record.timestamp_ms))
            .collect();
        let header = |value: &'static [u8]| vec![(&b"trace"[..], Some(value))];
        assert_eq!(
            of,
            [
                (&b"a"[..], vec![], None),
                (b"b", header(b"x"), Some(7)),
                (b"c", vec![], None),
                (b"d", header(b""), Some(7)),
                (b"e", vec![], None),
            ]
        );
        assert_eq!(bare(&records)[2], (&b"c"[..], Some(&b"2"[..])));
    }

    #[test]
    fn a_record_is_taken_back_with_its_headers() {
        let mut records = with_a_header(b"a", Some(b"1"), b"x");
        records.append(&with_a_header(b"b", Some(b"2"), b"y"));
        assert_eq!(records.pop(), Some((b"b".to_vec(), Some(b"2".to_vec()))));
        records.push(b"c", None);
        let left: Vec<_> = records.iter().collect();
        assert_eq!(headers(&left[0]), [(&b"trace"[..], Some(&b"x"[..]))]);
        assert_eq!(left[1], OutputRecord::bare(b"c", None));
    }
}
