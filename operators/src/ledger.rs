//! The ledger: dead letters as rows, and rows as dead letters.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow_schema::SchemaRef;
use tidemill_types::DeadLetter;
use tidemill_types::dead_letter::{Header, Stage, headers_text, ledger_schema, parse_headers};

/// What the dead letters of a job have in common.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Their columns.
    pub schema: SchemaRef,
    plan: Arc<str>,
}

impl Ledger {
    /// Of the job whose plan has this hash.
    #[must_use]
    pub fn of(plan_hash: &str) -> Self {
        Self {
            schema: ledger_schema(),
            plan: plan_hash.into(),
        }
    }

    /// Dead letters as rows. Of a record that is too large for a ledger the beginning is kept, and the reason says so.
    ///
    /// # Panics
    /// If letters of one batch of records had more than 2 GiB; sources bound their batches far below.
    #[must_use]
    pub fn rows(&self, letters: &[DeadLetter]) -> RecordBatch {
        let parts: Vec<_> = letters.iter().map(Part::of).collect();
        let of = |part: &Part<'_>| part.cut.is_some() || part.letter.truncated;
        let truncated: BooleanArray = parts.iter().map(|part| Some(of(part))).collect();
        let all = || letters.iter();
        let plans = all().map(|_| &*self.plan);
        let reasons = parts.iter().map(Part::reason);
        let headers = parts.iter().map(|part| headers_text(part.headers));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(plans)),
            Arc::new(StringArray::from_iter_values(all().map(|l| l.stage.name()))),
            Arc::new(StringArray::from_iter_values(all().map(|l| &l.source))),
            Arc::new(StringArray::from_iter_values(all().map(|l| &l.topic))),
            Arc::new(UInt32Array::from_iter_values(all().map(|l| l.partition))),
            Arc::new(Int64Array::from_iter_values(all().map(|l| l.offset))),
            Arc::new(StringArray::from_iter_values(reasons)),
            Arc::new(Int64Array::from_iter(all().map(|l| l.timestamp_ms))),
            Arc::new(BinaryArray::from_iter(parts.iter().map(|part| part.key))),
            Arc::new(StringArray::from_iter(headers)),
            Arc::new(BinaryArray::from_iter(parts.iter().map(|part| part.bytes))),
            Arc::new(truncated),
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
            .expect("the columns are the schema's, one value per letter")
    }
}

/// So much of a record travels in the ledger at most: as text it must fit into a message of a sink.
const LEDGER_BYTES_MAX: usize = 11 << 20;

/// What of a record travels in the ledger: the key and the headers if they fit, and as much as fits of the value.
struct Part<'a> {
    letter: &'a DeadLetter,
    key: Option<&'a [u8]>,
    headers: &'a [Header],
    bytes: Option<&'a [u8]>,
    /// How many bytes the record has, and how many of them are here; none if all are.
    cut: Option<[usize; 2]>,
}

impl<'a> Part<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        let key = letter.key.as_deref();
        let bytes = letter.bytes.as_deref();
        let header_bytes = |header: &Header| {
            let value = header.value.as_ref().map_or(0, Vec::len);
            header.name.len() + value
        };
        let in_headers: usize = letter.headers.iter().map(header_bytes).sum();
        let [in_key, in_value] = [key, bytes].map(|part| part.map_or(0, <[u8]>::len));
        let total = in_key + in_headers + in_value;
        if total <= LEDGER_BYTES_MAX {
            let headers = letter.headers.as_slice();
            let cut = None;
            return Self {
                letter,
                key,
                headers,
                bytes,
                cut,
            };
        }
        let begin = |part: Option<&'a [u8]>, room: usize| part.map(|p| &p[..p.len().min(room)]);
        let key = begin(key, LEDGER_BYTES_MAX);
        let room = LEDGER_BYTES_MAX - key.map_or(0, <[u8]>::len);
        let (headers, in_headers) = match in_headers {
            fits if fits <= room => (letter.headers.as_slice(), fits),
            _ => (&letter.headers[..0], 0),
        };
        let bytes = begin(bytes, room - in_headers);
        let kept = LEDGER_BYTES_MAX - room + in_headers + bytes.map_or(0, <[u8]>::len);
        let cut = Some([total, kept]);
        Self {
            letter,
            key,
            headers,
            bytes,
            cut,
        }
    }

    fn reason(&self) -> String {
        let reason = &self.letter.reason;
        match self.cut {
            None => reason.clone(),
            Some([total, kept]) => {
                format!("{reason}; of its {total} bytes the first {kept} are kept")
            }
        }
    }
}

/// The dead letters that rows of the ledger's columns are, made one at a time; none if the rows have other columns.
#[must_use]
pub fn ledger_letters(rows: &RecordBatch) -> Option<impl Iterator<Item = DeadLetter>> {
    let [
        plans,
        stages,
        sources,
        topics,
        partitions,
        offsets,
        reasons,
        times,
        keys,
        headers,
        bytes,
        truncated,
    ] = rows.columns()
    else {
        return None;
    };
    let [stages, sources, topics, reasons, headers] =
        [stages, sources, topics, reasons, headers].map(|column| column.as_string_opt::<i32>());
    let plans = plans.as_string_opt::<i32>()?;
    let (stages, sources, topics) = (stages?, sources?, topics?);
    let (reasons, headers) = (reasons?, headers?);
    let partitions = partitions.as_primitive_opt::<UInt32Type>()?;
    let offsets = offsets.as_primitive_opt::<Int64Type>()?;
    let times = times.as_primitive_opt::<Int64Type>()?;
    let keys = keys.as_binary_opt::<i32>()?;
    let bytes = bytes.as_binary_opt::<i32>()?;
    let truncated = truncated.as_boolean_opt()?;
    let part = |column: &BinaryArray, row| column.is_valid(row).then(|| column.value(row).to_vec());
    let letter = move |row| DeadLetter {
        plan: plans.value(row).to_owned(),
        stage: Stage::named(stages.value(row)).unwrap_or_default(),
        source: sources.value(row).to_owned(),
        topic: topics.value(row).to_owned(),
        partition: partitions.value(row),
        offset: offsets.value(row),
        reason: reasons.value(row).to_owned(),
        timestamp_ms: times.is_valid(row).then(|| times.value(row)),
        key: part(keys, row),
        headers: headers
            .is_valid(row)
            .then(|| parse_headers(headers.value(row)).ok())
            .flatten()
            .unwrap_or_default(),
        bytes: part(bytes, row),
        truncated: truncated.value(row),
    };
    Some((0..rows.num_rows()).map(letter))
}

#[cfg(test)]
mod tests {
    use tidemill_types::DeadLetter;
    use tidemill_types::dead_letter::{Header, Stage};

    use super::{LEDGER_BYTES_MAX, Ledger, ledger_letters};

    fn letter() -> DeadLetter {
        let header = |name: &str, value: Option<&[u8]>| Header {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        DeadLetter {
            plan: "9f86d081".to_owned(),
            stage: Stage::Decode,
            source: "payment_events".to_owned(),
            topic: "studio.payment".to_owned(),
            partition: 1,
            offset: 7,
            reason: "invalid JSON".to_owned(),
            timestamp_ms: Some(1_767_225_600_000),
            key: Some(b"\x00\xff".to_vec()),
            headers: vec![header("trace", Some(b"x")), header("none", None)],
            bytes: Some(b"{".to_vec()),
            truncated: false,
        }
    }

    fn there_and_back(letter: DeadLetter) -> DeadLetter {
        let rows = Ledger::of("9f86d081").rows(&[letter]);
        let letters = ledger_letters(&rows).expect("the schema is the ledger's");
        let [letter] = <[_; 1]>::try_from(letters.collect::<Vec<_>>()).expect("one row");
        letter
    }

    #[test]
    fn a_letter_comes_back_from_the_ledger_as_it_was() {
        assert_eq!(there_and_back(letter()), letter());
        let tombstone = DeadLetter {
            timestamp_ms: None,
            key: None,
            headers: Vec::new(),
            bytes: None,
            stage: Stage::Late,
            truncated: true,
            ..letter()
        };
        assert_eq!(there_and_back(tombstone.clone()), tombstone);
        let empty = DeadLetter {
            key: Some(Vec::new()),
            bytes: Some(Vec::new()),
            ..letter()
        };
        assert_eq!(there_and_back(empty.clone()), empty);
    }

    #[test]
    fn of_a_record_that_no_ledger_takes_the_beginning_is_kept() {
        let large = there_and_back(DeadLetter {
            bytes: Some(vec![b'x'; LEDGER_BYTES_MAX]),
            ..letter()
        });
        assert_eq!((large.key, large.headers), (letter().key, letter().headers));
        assert_eq!(
            large.bytes.map(|bytes| bytes.len()),
            Some(LEDGER_BYTES_MAX - 12)
        );
        assert_eq!(
            large.reason,
            "invalid JSON; of its 11534348 bytes the first 11534336 are kept"
        );
        assert!(large.truncated);
    }

    #[test]
    fn a_key_or_headers_that_no_ledger_takes_leave_room_for_nothing_else() {
        let large = Some(vec![b'k'; LEDGER_BYTES_MAX + 1]);
        let by_key = there_and_back(DeadLetter {
            key: large.clone(),
            ..letter()
        });
        assert_eq!(by_key.key.map(|key| key.len()), Some(LEDGER_BYTES_MAX));
        assert_eq!((by_key.bytes, by_key.truncated), (Some(Vec::new()), true));
        let headers = vec![Header {
            name: "h".to_owned(),
            value: large,
        }];
        let by_headers = there_and_back(DeadLetter {
            headers,
            ..letter()
        });
        assert_eq!(
            (by_headers.headers, by_headers.bytes),
            (Vec::new(), letter().bytes)
        );
        assert!(by_headers.truncated);
    }
}
