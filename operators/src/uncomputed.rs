//! Rows that cannot be computed: an overflow, a division by zero, a cast that does not fit, a sum beyond its type.
//!
//! Such a row is data, not an error of the job: it does not leave its stage, and a dead letter says which expression
//! failed, and why, with the row in words. A row that is taken away again was never there, so that nothing is reported
//! for it.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, FieldRef};
use tidemill_types::dead_letter::Stage;
use tidemill_types::{ChangeBatch, DeadLetter, system_columns};

use crate::Counter;
use crate::ledger::Ledger;

/// Where the rows go that a stage cannot compute.
#[derive(Debug, Clone)]
pub struct Uncomputed {
    /// What the dead letters have in common.
    pub ledger: Ledger,
    /// Counts them.
    pub failed: Counter,
}

impl Uncomputed {
    /// The dead letters as rows of the ledger, counted; none if there are none.
    #[must_use]
    pub fn rows(&self, letters: &[DeadLetter]) -> Option<ChangeBatch> {
        if letters.is_empty() {
            return None;
        }
        self.failed.add(letters.len() as u64);
        Some(ChangeBatch::inserts(self.ledger.rows(letters)))
    }
}

/// The dead letter of row `row` at a stage. The position is the record's where the row still knows it.
#[must_use]
pub fn letter(stage: &str, rows: &RecordBatch, row: usize, reason: String) -> DeadLetter {
    let partition = rows
        .column_by_name(system_columns::PARTITION)
        .and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let offset = rows
        .column_by_name(system_columns::OFFSET)
        .and_then(|column| column.as_primitive_opt::<Int64Type>());
    DeadLetter {
        stage: Stage::Row,
        source: stage.split('/').next().unwrap_or_default().to_owned(),
        topic: stage.to_owned(),
        partition: partition.map_or(0, |column| column.value(row)),
        offset: offset.map_or(-1, |column| column.value(row)),
        reason,
        bytes: Some(in_words(rows, row).into_bytes()),
        ..DeadLetter::default()
    }
}

/// What an error says, without the kind that Arrow puts before it.
#[must_use]
pub fn reason(error: &ArrowError) -> String {
    match error {
        ArrowError::ComputeError(reason) | ArrowError::InvalidArgumentError(reason) => {
            reason.clone()
        }
        other => other.to_string(),
    }
}

/// A row as text, for a person.
pub fn in_words(rows: &RecordBatch, row: usize) -> String {
    let schema = rows.schema();
    let show = |(field, column): (&FieldRef, &ArrayRef)| {
        let value = array_value_to_string(column, row).unwrap_or_else(|error| error.to_string());
        format!("{} = {value}", field.name())
    };
    schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(show)
        .collect::<Vec<_>>()
        .join(", ")
}
