//! The decoders of sources: for each encoding and envelope the sources that an input may be read by.
//!
//! An input is decoded as a batch, once more by the same decoder, and each record alone by a fresh one. Every record becomes exactly one of a
//! row, a dead letter, and a record that changes nothing; and what becomes of it does not depend on what the decoder saw before, or else a
//! restart, which cuts the batches otherwise, would write other bytes (P-REPLAY).
//!
//! Does not judge whether a row is right: the tests of `formats` do, against what others say that the records mean.

pub mod avro;
pub mod json;
pub mod keys;
pub mod protobuf;
pub mod schemas;
mod source;
pub mod text;

use tidemill_types::RawRecords;
use tidemill_types::format::{Clocks, Decoded, Decoder};

use crate::input;
pub use source::Source;

/// What an epoch's clocks say.
const CLOCKS: Clocks = Clocks {
    wall_ms: 1_767_225_600_000,
    steady_ms: 1_767_225_600_000 - 9_000_000,
};
/// So many records of an input are decoded alone, too.
const ALONE_MAX: usize = 8;

/// Decodes an input by one of these sources, and panics if a promise does not hold.
pub fn decode(sources: &[Source], input: &[u8]) {
    let (variant, rest) = input::variant(input);
    let source = &sources[variant % sources.len()];
    let records = input::records(rest);
    let mut decoder = source.decoder().expect("a source of the targets is valid");
    let together = decoded(&mut *decoder, &records);
    let again = decoded(&mut *decoder, &records);
    assert_same(&together, &again, "decoded once more by the same decoder");
    if records.len() < 2 || records.len() > ALONE_MAX {
        return;
    }
    let (mut rows, mut letters) = (0, 0);
    for i in 0..records.len() {
        let mut fresh = source.decoder().expect("it was valid before");
        let alone = decoded(&mut *fresh, &records.part(i..i + 1));
        let ends = (alone.rows.num_rows(), alone.dead_letters.len());
        let expected = Decoded {
            rows: together
                .rows
                .slice(rows, ends.0.min(together.rows.num_rows() - rows)),
            dead_letters: together
                .dead_letters
                .iter()
                .skip(letters)
                .take(ends.1)
                .cloned()
                .collect(),
            ..alone.clone()
        };
        assert_same(
            &expected,
            &alone,
            "decoded alone, and not after other records",
        );
        rows += ends.0;
        letters += ends.1;
    }
    let ends = (together.rows.num_rows(), together.dead_letters.len());
    assert_eq!(
        (rows, letters),
        ends,
        "records end otherwise when each is decoded alone"
    );
}

fn decoded(decoder: &mut dyn Decoder, records: &RawRecords) -> Decoded {
    let decoded = decoder.decode(records, CLOCKS);
    assert_eq!(
        decoded.rows.schema(),
        decoder.schema(),
        "the rows have the decoder's schema"
    );
    let ignored = usize::try_from(decoded.ignored).unwrap_or(usize::MAX);
    assert_eq!(
        decoded.rows.num_rows() + decoded.dead_letters.len() + ignored,
        records.len(),
        "every record ends as one of three"
    );
    decoded
}

fn assert_same(expected: &Decoded, found: &Decoded, when: &str) {
    assert!(
        expected.rows == found.rows,
        "other rows, {when}: {:?} and {:?}",
        expected.rows,
        found.rows
    );
    assert!(
        expected.dead_letters == found.dead_letters,
        "other dead letters, {when}: {:?} and {:?}",
        expected.dead_letters,
        found.dead_letters
    );
}
