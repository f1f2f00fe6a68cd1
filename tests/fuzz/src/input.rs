//! The form of an input: which variant of a target it is for, and raw records.
//!
//! Promises: any bytes are an input, and small changes of the bytes are small changes of the records. A seed is written by [`Input`].

use tidemill_types::RawRecords;

/// The partition that the records are of.
pub const PARTITION: u32 = 3;
const FIRST_OFFSET: i64 = 100;

const HAS_KEY: u8 = 1;
const HAS_NO_VALUE: u8 = 2;
/// Its value has a length of its own, and another record may follow.
const IS_SIZED: u8 = 4;
const HEADERS_SHIFT: u8 = 3;
const HEADERS_MASK: u8 = 3;
const HAS_TIME: u8 = 32;
/// The length of a header that has no value.
const NO_VALUE: u8 = 255;

/// A record of a seed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers: at most three are written.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// When it was written.
    pub timestamp_ms: Option<i64>,
}

/// Which variant of a target an input is for; what is left of it.
#[must_use]
pub fn variant(input: &[u8]) -> (usize, &[u8]) {
    match input.split_first() {
        Some((variant, rest)) => (usize::from(*variant), rest),
        None => (0, &[]),
    }
}

/// The records of what is left.
#[must_use]
pub fn records(mut bytes: &[u8]) -> RawRecords {
    let mut records = RawRecords::of(PARTITION);
    for offset in FIRST_OFFSET.. {
        let Some(flags) = take(&mut bytes, 1).first().copied() else {
            break;
        };
        let key = (flags & HAS_KEY != 0).then(|| short(&mut bytes));
        let headers: Vec<_> = (0..(flags >> HEADERS_SHIFT) & HEADERS_MASK)
            .map(|_| header(&mut bytes))
            .collect();
        let time = (flags & HAS_TIME != 0).then(|| number(&mut bytes));
        let length = if flags & IS_SIZED == 0 {
            bytes.len()
        } else {
            take(&mut bytes, 2)
                .iter()
                .rev()
                .fold(0, |length, &byte| length << 8 | usize::from(byte))
        };
        let value = take(&mut bytes, length);
        records.push(offset, key, (flags & HAS_NO_VALUE == 0).then_some(value));
        for (name, value) in headers {
            records.push_header(name, value);
        }
        records.timestamps.push(time.unwrap_or(-1));
    }
    records
}

/// The bytes of an input with these records.
#[must_use]
pub fn of(variant: u8, records: &[Record]) -> Vec<u8> {
    let mut input = vec![variant];
    for (i, record) in records.iter().enumerate() {
        let is_sized = i + 1 < records.len();
        let headers = &record.headers[..record.headers.len().min(3)];
        let mut flags = u8::try_from(headers.len()).unwrap_or_default() << HEADERS_SHIFT;
        for (flag, is_set) in [
            (HAS_KEY, record.key.is_some()),
            (HAS_NO_VALUE, record.value.is_none()),
            (IS_SIZED, is_sized),
            (HAS_TIME, record.timestamp_ms.is_some()),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        input.push(flags);
        if let Some(key) = &record.key {
            push_short(key, &mut input);
        }
        for (name, value) in headers {
            push_short(name, &mut input);
            match value {
                Some(value) => push_short(value, &mut input),
                None => input.push(NO_VALUE),
            }
        }
        if let Some(time) = record.timestamp_ms {
            input.extend(time.to_le_bytes());
        }
        let value = record.value.as_deref().unwrap_or_default();
        if is_sized {
            let length = value.len().min(usize::from(u16::MAX));
            input.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
            input.extend_from_slice(&value[..length]);
        } else {
            input.extend_from_slice(value);
        }
    }
    input
}

fn push_short(bytes: &[u8], input: &mut Vec<u8>) {
    let length = bytes.len().min(usize::from(NO_VALUE) - 1);
    input.push(u8::try_from(length).unwrap_or_default());
    input.extend_from_slice(&bytes[..length]);
}

/// So many bytes, or as many as there are.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    taken
}

fn short<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = take(bytes, 1).first().copied().unwrap_or_default();
    take(bytes, usize::from(length))
}

fn header<'a>(bytes: &mut &'a [u8]) -> (&'a [u8], Option<&'a [u8]>) {
    let name = short(bytes);
    if bytes.first() == Some(&NO_VALUE) {
        take(bytes, 1);
        return (name, None);
    }
    (name, Some(short(bytes)))
}

fn number(bytes: &mut &[u8]) -> i64 {
    let taken = take(bytes, 8);
    let mut whole = [0; 8];
    whole[..taken.len()].copy_from_slice(taken);
    i64::from_le_bytes(whole)
}

#[cfg(test)]
mod tests {
    use super::{Record, of, records, variant};

    #[test]
    fn what_was_written_as_an_input_is_read_back() {
        let written = [
            Record {
                key: Some(b"7".to_vec()),
                value: Some(b"{}".to_vec()),
                headers: vec![(b"a".to_vec(), Some(b"b".to_vec())), (b"c".to_vec(), None)],
                timestamp_ms: Some(1_767_225_600_123),
            },
            Record::default(),
            Record {
                value: Some(b"the rest".to_vec()),
                ..Record::default()
            },
        ];
        let input = of(5, &written);
        let (number, rest) = variant(&input);
        let read = records(rest);
        assert_eq!((number, read.len()), (5, 3));
        for (record, written) in read.iter().zip(&written) {
            assert_eq!(record.key, written.key.as_deref());
            assert_eq!(record.value, written.value.as_deref());
            assert_eq!(record.timestamp_ms, written.timestamp_ms);
            let headers: Vec<_> = record
                .headers
                .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                .collect();
            assert_eq!(headers, written.headers);
        }
    }

    #[test]
    fn any_bytes_are_records() {
        for input in [
            &b""[..],
            b"\xff",
            b"\x00\xff\xff\xff",
            b"\x00\x3f\x09short",
            &[4; 40],
        ] {
            let (_, rest) = variant(input);
            assert!(records(rest).len() <= input.len());
        }
    }
}
