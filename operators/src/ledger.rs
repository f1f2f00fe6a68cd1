//! The ledger: dead letters as rows, and rows as dead letters.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{BinaryArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::SchemaRef;
use tidemill_types::DeadLetter;

/// So much of a record travels in the ledger at most: as text it must fit into a message of a sink.
const LEDGER_BYTES_MAX: usize = 11 << 20;

/// Dead letters as rows of the ledger's columns. Of a record that is too large for a ledger the beginning is kept, and the reason says so.
///
/// # Errors
/// If `schema` is not the ledger's.
pub fn ledger_rows(
    schema: &SchemaRef,
    letters: &[DeadLetter],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let bytes = |letter: &'_ DeadLetter| letter.bytes.len().min(LEDGER_BYTES_MAX);
    let reason = |letter: &DeadLetter| match letter.bytes.len() {
        len if len > LEDGER_BYTES_MAX => {
            format!(
                "{}; of its {len} bytes the first {LEDGER_BYTES_MAX} are kept",
                letter.reason
            )
        }
        _ => letter.reason.clone(),
    };
    let numbers = letters.iter().map(|letter| letter.partition);
    let offsets = letters.iter().map(|letter| letter.offset);
    let records = letters.iter().map(|letter| &letter.bytes[..bytes(letter)]);
    RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringArray::from_iter_values(
                letters.iter().map(|letter| &letter.topic),
            )),
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(Int64Array::from_iter_values(offsets)),
            Arc::new(StringArray::from_iter_values(letters.iter().map(reason))),
            Arc::new(BinaryArray::from_iter_values(records)),
        ],
    )
}

/// The dead letters that rows of the ledger's columns are; none if they have other columns.
#[must_use]
pub fn ledger_letters(rows: &RecordBatch) -> Option<Vec<DeadLetter>> {
    let [topics, partitions, offsets, reasons, bytes] = rows.columns() else {
        return None;
    };
    let (topics, reasons) = (
        topics.as_string_opt::<i32>()?,
        reasons.as_string_opt::<i32>()?,
    );
    let partitions = partitions.as_primitive_opt::<UInt32Type>()?;
    let offsets = offsets.as_primitive_opt::<Int64Type>()?;
    let bytes = bytes.as_binary_opt::<i32>()?;
    let letter = |row| DeadLetter {
        topic: topics.value(row).to_owned(),
        partition: partitions.value(row),
        offset: offsets.value(row),
        reason: reasons.value(row).to_owned(),
        bytes: bytes.value(row).to_vec(),
    };
    Some((0..rows.num_rows()).map(letter).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_schema::{DataType, Field, Schema};
    use tidemill_types::DeadLetter;

    use super::{LEDGER_BYTES_MAX, ledger_letters, ledger_rows};

    #[test]
    fn of_a_record_that_no_ledger_takes_the_beginning_is_kept() {
        let field = |name, data_type| Field::new(name, data_type, false);
        let schema = Arc::new(Schema::new(vec![
            field("topic", DataType::Utf8),
            field("partition", DataType::UInt32),
            field("offset", DataType::Int64),
            field("reason", DataType::Utf8),
            field("bytes", DataType::Binary),
        ]));
        let letter = DeadLetter {
            topic: "studio.payment".to_owned(),
            partition: 1,
            offset: 7,
            reason: "invalid JSON".to_owned(),
            bytes: vec![b'x'; LEDGER_BYTES_MAX + 1],
        };
        let rows = ledger_rows(&schema, &[letter]).expect("the schema is the ledger's");
        assert_eq!(
            rows.column(4).as_binary::<i32>().value(0).len(),
            LEDGER_BYTES_MAX
        );
        let reason = rows.column(3).as_string::<i32>().value(0);
        let letters = ledger_letters(&rows).expect("the schema is the ledger's");
        assert_eq!(letters[0].reason, reason);
        assert_eq!((letters[0].partition, letters[0].offset), (1, 7));
        assert_eq!(
            reason,
            "invalid JSON; of its 11534337 bytes the first 11534336 are kept"
        );
    }
}
