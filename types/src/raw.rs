//! Raw records: what a source read, before anybody looked into it.
//!
//! Promises: key, value and headers are the source's bytes, a null told from nothing, and they lie in one arena: pushing a record allocates
//! only while the arena grows. Does not say what the bytes mean: a [`Format`](crate::format::Format) does.

use std::ops::Range;

use crate::place::TopicPartition;

/// Consecutive records of one partition.
///
/// Offsets rise but may have gaps (compaction, transaction markers).
///
/// ```
/// use tidemill_types::raw::RawRecords;
///
/// let mut records = RawRecords::of(3);
/// records.push(7, Some(b"42"), Some(b"a value"));
/// records.push_header(b"trace", Some(b"x1"));
/// records.push(9, Some(b"42"), None);
/// let first = records.get(0);
/// assert_eq!((first.key, first.value), (Some(&b"42"[..]), Some(&b"a value"[..])));
/// assert_eq!(first.headers.get(b"trace"), Some(Some(&b"x1"[..])));
/// assert_eq!((records.len(), records.get(1).value), (2, None));
/// ```
#[derive(Debug, Clone, Default)]
pub struct RawRecords {
    /// Partition that the records were read from, by its number in the source.
    pub partition: u32,
    /// Its topic, and its number there; none where the source reads one topic, whose partition it is.
    pub place: Option<TopicPartition>,
    /// Offset of each record.
    pub offsets: Vec<i64>,
    /// When each record was written, in milliseconds since 1970 and below zero where that is not known; empty where the source has no
    /// such times at all.
    pub timestamps: Vec<i64>,
    /// The time of each record as its epoch counts it: whoever closes epochs says it, and nobody before; empty as `timestamps` are.
    pub times: Vec<i64>,
    /// Per record its key, its value and its headers, back to back.
    arena: Vec<u8>,
    /// Per record, where its parts end.
    ends: Vec<Ends>,
}

/// Where the parts of a record end; each begins where the one before it ends.
#[derive(Debug, Clone, Copy)]
struct Ends {
    key: u32,
    value: u32,
    headers: u32,
    has_key: bool,
    has_value: bool,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970; none where that is not known.
    pub timestamp_ms: Option<i64>,
    /// The same as its epoch counts it; none where the source has no such times.
    pub time_ms: Option<i64>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// The headers of a record, in order; a name may come more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Headers<'a>(&'a [u8]);

impl RawRecords {
    /// What a record takes beside its bytes: its offset, its two times, and where its parts end.
    pub const RECORD_BYTES: usize = 3 * size_of::<i64>() + size_of::<Ends>();

    /// No records yet, of a partition.
    #[must_use]
    pub fn of(partition: u32) -> Self {
        Self {
            partition,
            ..Self::default()
        }
    }

    /// Makes room for `records` more with `bytes` in all.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.offsets.reserve(records);
        self.timestamps.reserve(records);
        self.ends.reserve(records);
        self.arena.reserve(bytes);
    }

    /// Appends a record without headers; the caller gives `timestamps` one entry for every record, or none at all.
    ///
    /// # Panics
    /// If the arena would pass 4 GiB; sources bound their batches far below.
    pub fn push(&mut self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.arena.extend_from_slice(key.unwrap_or_default());
        let key_end = self.end();
        self.arena.extend_from_slice(value.unwrap_or_default());
        let end = self.end();
        self.ends.push(Ends {
            key: key_end,
            value: end,
            headers: end,
            has_key: key.is_some(),
            has_value: value.is_some(),
        });
        self.offsets.push(offset);
    }

    /// Appends a header to the last record.
    ///
    /// # Panics
    /// As [`RawRecords::push`]; without a record there is nothing to append to.
    pub fn push_header(&mut self, name: &[u8], value: Option<&[u8]>) {
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len()).expect("a source bounds its batches below 4 GiB")
        };
        self.arena.extend(length(name).to_le_bytes());
        self.arena.extend_from_slice(name);
        self.arena.push(u8::from(value.is_some()));
        let value = value.unwrap_or_default();
        self.arena.extend(length(value).to_le_bytes());
        self.arena.extend_from_slice(value);
        let end = self.end();
        let last = self.ends.last_mut();
        last.expect("a header follows its record").headers = end;
    }

    fn end(&self) -> u32 {
        u32::try_from(self.arena.len()).expect("a source bounds its batches below 4 GiB")
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes the records have, headers and keys included.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// How much memory the records take: their bytes, and [`Self::RECORD_BYTES`] for each. Whoever bounds memory counts this: a topic may have
    /// millions of records of one byte.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.bytes() + self.len() * Self::RECORD_BYTES
    }

    /// Record `i`.
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> RawRecord<'_> {
        let start = i
            .checked_sub(1)
            .map_or(0, |before| self.ends[before].headers);
        let ends = self.ends[i];
        let part = |from: u32, to: u32| &self.arena[from as usize..to as usize];
        let timestamp_ms = self.timestamps.get(i).copied();
        RawRecord {
            offset: self.offsets[i],
            timestamp_ms: timestamp_ms.filter(|&ms| ms >= 0),
            time_ms: self.times.get(i).copied(),
            key: ends.has_key.then(|| part(start, ends.key)),
            value: ends.has_value.then(|| part(ends.key, ends.value)),
            headers: Headers(part(ends.value, ends.headers)),
        }
    }

    /// All records, in order.
    pub fn iter(&self) -> impl Iterator<Item = RawRecord<'_>> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// A copy of some of the records, which no epoch has counted yet.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let mut part = Self {
            place: self.place.clone(),
            ..Self::of(self.partition)
        };
        for i in range.clone() {
            let record = self.get(i);
            part.push(record.offset, record.key, record.value);
            for (name, value) in record.headers {
                part.push_header(name, value);
            }
        }
        part.timestamps = self.timestamps.get(range).unwrap_or_default().to_vec();
        part
    }
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Self = Self(&[]);

    /// Headers as they lie in an arena.
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Appends them to an arena.
    pub(crate) fn copy_to(self, arena: &mut Vec<u8>) {
        arena.extend_from_slice(self.0);
    }

    /// True if there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The value of the last header of that name; the inner none is a header without value.
    #[must_use]
    pub fn get(self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        let named = self.filter(|(of, _)| *of == name);
        named.last().map(|(_, value)| value)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let name = take_sized(&mut self.0)?;
        let (has_value, rest) = self.0.split_first()?;
        self.0 = rest;
        let value = take_sized(&mut self.0)?;
        Some((name, (*has_value == 1).then_some(value)))
    }
}

/// Appends a header to an arena, its value written by the function given; none if that says, by false, that it has no value.
///
/// # Panics
/// If the value has 4 GiB.
pub fn write_header(
    arena: &mut Vec<u8>,
    name: &[u8],
    write_value: impl FnOnce(&mut Vec<u8>) -> bool,
) {
    let length = |bytes: usize| u32::try_from(bytes).expect("a header is far below 4 GiB");
    let start = arena.len();
    arena.extend(length(name.len()).to_le_bytes());
    arena.extend_from_slice(name);
    arena.push(1);
    let length_at = arena.len();
    arena.extend([0; 4]);
    let value_at = arena.len();
    if write_value(arena) {
        let of_value = length(arena.len() - value_at).to_le_bytes();
        arena[length_at..value_at].copy_from_slice(&of_value);
    } else {
        arena.truncate(start);
    }
}

/// Takes a length and so many bytes.
fn take_sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (taken, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::RawRecords;
    use crate::place::TopicPartition;

    #[test]
    fn a_null_is_not_an_empty_text_and_headers_keep_their_order() {
        let mut records = RawRecords::of(0);
        records.push(1, None, Some(b""));
        records.push(2, Some(b""), None);
        records.push_header(b"a", None);
        records.push_header(b"a", Some(b""));
        records.push(3, None, None);
        let parts: Vec<_> = records.iter().map(|of| (of.key, of.value)).collect();
        let empty = Some(&b""[..]);
        assert_eq!(parts, [(None, empty), (empty, None), (None, None)]);
        let headers: Vec<_> = records.get(1).headers.collect();
        assert_eq!(headers, [(&b"a"[..], None), (&b"a"[..], empty)]);
        assert_eq!(records.get(2).headers.count(), 0);
    }

    #[test]
    fn a_record_without_bytes_takes_memory() {
        let mut records = RawRecords::of(0);
        (0..1_000).for_each(|offset| records.push(offset, None, None));
        assert_eq!(records.bytes(), 0);
        assert_eq!(records.held_bytes(), 1_000 * RawRecords::RECORD_BYTES);
    }

    #[test]
    fn a_part_has_its_records_with_all_that_they_have() {
        let mut records = RawRecords::of(5);
        records.place = Some(TopicPartition::new("eu", 2));
        for offset in 0..3 {
            records.push(offset, Some(&[b'k', 0]), Some(b"value"));
            records.push_header(b"h", Some(&[0, 1]));
            records.timestamps.push(offset * 10);
        }
        let part = records.part(1..3);
        assert_eq!((part.partition, part.len()), (5, 2));
        assert_eq!(part.place, records.place);
        assert_eq!(part.offsets, [1, 2]);
        let last = part.get(1);
        assert_eq!(last.timestamp_ms, Some(20));
        assert_eq!(last.headers.get(b"h"), Some(Some(&[0, 1][..])));
    }
}
