//! Guard: events that a table cannot apply leave it as dead letters, before it sees them.
//!
//! An event without a column of the key says of no row that it is meant: rows of which nothing is known but that would
//! all be one. A delete without a version cannot be put in order with the updates of its row, and would change nothing.
//! Both are dead letters with the reason; the others pass. An update without a version passes: it is older than all
//! that have one.
//!
//! Keeps no state. Does not promise the record's bytes where the plan does not carry them along: then the row stands
//! for it, as text.

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use tidemill_types::dead_letter::Stage;
use tidemill_types::place::Places;
use tidemill_types::{ChangeBatch, DeadLetter, system_columns};

use crate::error::Context;
use crate::ledger::Ledger;
use crate::uncomputed::in_words;
use crate::{Counter, EpochOperator, Error, Output, Tick, columns};

/// Settings of a guard.
#[derive(Debug)]
pub struct Settings {
    /// Name of the table's operator, in errors.
    pub name: String,
    /// Name of the table in SQL, for reasons.
    pub table: String,
    /// Where the source's partitions are.
    pub places: Places,
    /// Primary key columns that an event may lack.
    pub key: Vec<String>,
    /// The version column, if a delete may lack it.
    pub version: Option<String>,
    /// What the dead letters have in common.
    pub ledger: Ledger,
}

/// A stage that gets of each epoch what its guard lets pass.
pub struct Guarded<O> {
    guard: Guard,
    operator: O,
}

impl<O> Guarded<O> {
    /// Puts a guard before a stage.
    pub const fn new(guard: Guard, operator: O) -> Self {
        Self { guard, operator }
    }
}

impl<O: EpochOperator> EpochOperator for Guarded<O> {
    fn on_epoch(
        &mut self,
        tick: &Tick,
        input: &[ChangeBatch],
        output: &mut Output,
    ) -> Result<(), Error> {
        let mut passed = Vec::with_capacity(input.len());
        for changes in input {
            passed.push(self.guard.on_batch(changes, &mut output.aside)?);
        }
        self.operator.on_epoch(tick, &passed, output)
    }
}

/// The logic of one worker's part of a guard.
pub struct Guard {
    settings: Settings,
    key: Vec<usize>,
    version: Option<usize>,
    op: usize,
    partition: usize,
    offset: usize,
    bytes: Option<usize>,
    /// All columns but the record's bytes.
    kept: Vec<usize>,
    dead_letters: Counter,
}

impl Guard {
    /// A guard over rows of `schema` (with system columns).
    ///
    /// # Errors
    /// If a column is missing.
    pub fn new(
        settings: Settings,
        schema: &SchemaRef,
        dead_letters: Counter,
    ) -> Result<Self, Error> {
        let index = |column: &str| columns::index(schema, column).of(&settings.name);
        Ok(Self {
            key: (settings.key.iter().map(|name| index(name))).collect::<Result<_, _>>()?,
            version: settings.version.as_deref().map(index).transpose()?,
            op: index(system_columns::OP)?,
            partition: index(system_columns::PARTITION)?,
            offset: index(system_columns::OFFSET)?,
            bytes: schema.index_of(system_columns::BYTES).ok(),
            kept: (0..schema.fields().len())
                .filter(|&i| schema.field(i).name() != system_columns::BYTES)
                .collect(),
            dead_letters,
            settings,
        })
    }

    /// What of a batch of inserted rows passes, without the records' bytes; the rest is added to `dead`.
    ///
    /// # Errors
    /// If rows are not of the schema.
    pub fn on_batch(
        &self,
        changes: &ChangeBatch,
        dead: &mut Vec<ChangeBatch>,
    ) -> Result<ChangeBatch, Error> {
        let (name, rows) = (&self.settings.name, &changes.rows);
        let kept = rows.project(&self.kept).of(name)?;
        let mut guarded = self.key.iter().chain(&self.version);
        if guarded.all(|&i| rows.column(i).null_count() == 0) {
            return Ok(ChangeBatch::inserts(kept));
        }
        let reasons: Vec<Option<String>> = (0..rows.num_rows())
            .map(|row| self.reason(rows, row))
            .collect();
        let letters: Vec<DeadLetter> = (reasons.iter().enumerate())
            .filter_map(|(row, reason)| Some(self.letter(rows, row, reason.clone()?)))
            .collect();
        if letters.is_empty() {
            return Ok(ChangeBatch::inserts(kept));
        }
        self.dead_letters.add(letters.len() as u64);
        dead.push(ChangeBatch::inserts(self.settings.ledger.rows(&letters)));
        let passes = reasons.iter().map(|reason| Some(reason.is_none()));
        let passed = filter_record_batch(&kept, &passes.collect::<BooleanArray>()).of(name)?;
        Ok(ChangeBatch::inserts(passed))
    }

    /// Why a row cannot be applied, if it cannot.
    fn reason(&self, rows: &RecordBatch, row: usize) -> Option<String> {
        let Settings {
            table,
            key,
            version,
            ..
        } = &self.settings;
        let is_delete = columns::ops(rows.column(self.op))[row] == system_columns::OP_DELETE;
        let event = if is_delete { "delete" } else { "event" };
        let is_null = |&column: &usize| rows.column(column).is_null(row);
        if let Some(i) = self.key.iter().position(is_null) {
            let column = &key[i];
            return Some(format!(
                "{event} without '{column}', which the primary key of table '{table}' has; send it, or let the key be the envelope's 'id'"
            ));
        }
        match (version, &self.version) {
            (Some(column), Some(index)) if is_delete && is_null(index) => Some(format!(
                "delete without '{column}', which table '{table}' is versioned by; send it, or let the version be the envelope's 'ts'"
            )),
            _ => None,
        }
    }

    fn letter(&self, rows: &RecordBatch, row: usize, reason: String) -> DeadLetter {
        let record = self
            .bytes
            .map(|column| rows.column(column).as_binary::<i32>().value(row).to_vec());
        let number = columns::partitions(rows.column(self.partition))[row];
        let place = self.settings.places.of(number);
        DeadLetter {
            stage: Stage::Table,
            source: self.settings.table.clone(),
            topic: place.topic.to_string(),
            partition: place.partition,
            offset: columns::offsets(rows.column(self.offset))[row],
            reason,
            bytes: Some(record.unwrap_or_else(|| in_words(rows, row).into_bytes())),
            ..DeadLetter::default()
        }
    }
}
