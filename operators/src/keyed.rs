//! The encoded form of rows where an operator is keyed: key columns as one encoded row, all others as another.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use tidemill_types::row::EncodedRows;
use tidemill_types::{ChangeBatch, RowCodec};

use crate::columns;

/// How many decoded rows go into one batch.
pub const BATCH_ROWS: usize = 8192;

/// Splits rows of a schema into key and value, and puts them together again.
#[derive(Debug)]
pub struct KeyedLayout {
    schema: SchemaRef,
    key_columns: Vec<usize>,
    value_columns: Vec<usize>,
    /// Codec of the key columns, in the order given.
    pub key: RowCodec,
    /// Codec of the other columns.
    pub value: RowCodec,
}

impl KeyedLayout {
    /// A layout for rows of `schema`, keyed by the named columns.
    ///
    /// # Errors
    /// If a column does not exist, or a type has no encoding.
    pub fn new(schema: &SchemaRef, key: &[String]) -> Result<Self, ArrowError> {
        Self::ordered(schema, key, &[])
    }

    /// A layout whose values begin with the columns `first` (those that are not in the key), so that the rows of a key are in their order.
    ///
    /// # Errors
    /// If a column does not exist, or a type has no encoding.
    pub fn ordered(
        schema: &SchemaRef,
        key: &[String],
        first: &[String],
    ) -> Result<Self, ArrowError> {
        let indices = |names: &[String]| -> Result<Vec<usize>, ArrowError> {
            names.iter().map(|name| schema.index_of(name)).collect()
        };
        let key_columns = indices(key)?;
        let mut value_columns = indices(first)?;
        value_columns.retain(|i| !key_columns.contains(i));
        for i in 0..schema.fields().len() {
            if !key_columns.contains(&i) && !value_columns.contains(&i) {
                value_columns.push(i);
            }
        }
        let codec =
            |columns: &[usize]| RowCodec::new(columns.iter().map(|&i| schema.field(i).data_type()));
        Ok(Self {
            key: codec(&key_columns)?,
            value: codec(&value_columns)?,
            schema: schema.clone(),
            key_columns,
            value_columns,
        })
    }

    /// The schema of the whole rows.
    #[must_use]
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Positions of the key columns.
    #[must_use]
    pub fn key_columns(&self) -> &[usize] {
        &self.key_columns
    }

    /// The encoded keys of rows that have at least the schema's columns, in its order.
    ///
    /// # Errors
    /// If a column has another type.
    pub fn encode_keys(&self, rows: &RecordBatch) -> Result<EncodedRows, ArrowError> {
        encode(&self.key, &self.key_columns, rows)
    }

    /// The encoded values of rows that have at least the schema's columns, in its order.
    ///
    /// # Errors
    /// If a column has another type.
    pub fn encode_values(&self, rows: &RecordBatch) -> Result<EncodedRows, ArrowError> {
        encode(&self.value, &self.value_columns, rows)
    }

    /// Whole rows from encoded keys and values of equal number.
    ///
    /// # Errors
    /// If the bytes are not of this layout.
    pub fn decode<'a>(
        &self,
        keys: impl ExactSizeIterator<Item = &'a [u8]>,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<RecordBatch, ArrowError> {
        let len = keys.len();
        let keys = self.key.decode(keys)?;
        let values = self.value.decode(values)?;
        columns::batch(&self.schema, self.assemble(&keys, &values), len)
    }

    /// The schema's columns, in order, from decoded key and value columns.
    ///
    /// # Panics
    /// If there are fewer columns than the layout has.
    #[must_use]
    pub fn assemble(&self, keys: &[ArrayRef], values: &[ArrayRef]) -> Vec<ArrayRef> {
        (0..self.schema.fields().len())
            .map(
                |i| match self.key_columns.iter().position(|&column| column == i) {
                    Some(position) => keys[position].clone(),
                    None => values[self
                        .value_columns
                        .iter()
                        .position(|&column| column == i)
                        .expect("a column is key or value")]
                    .clone(),
                },
            )
            .collect()
    }
}

fn encode(
    codec: &RowCodec,
    columns: &[usize],
    rows: &RecordBatch,
) -> Result<EncodedRows, ArrowError> {
    let arrays: Vec<_> = columns.iter().map(|&i| rows.column(i).clone()).collect();
    codec.encode(&arrays, rows.num_rows())
}

/// Collects encoded rows with diffs and cuts them into batches of columns.
#[derive(Debug, Default)]
pub struct RowBuffer {
    bytes: Vec<u8>,
    /// End of key and end of value of each row.
    ends: Vec<(usize, usize)>,
    diffs: Vec<i64>,
}

impl RowBuffer {
    /// Adds a row.
    pub fn push(&mut self, key: &[u8], value: &[u8], diff: i64) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        self.diffs.push(diff);
    }

    /// How many rows wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.diffs.len()
    }

    /// True if no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diffs.is_empty()
    }

    /// Decodes what was collected, in order; empty afterwards.
    ///
    /// # Errors
    /// If the bytes are not of the layout.
    pub fn take(&mut self, layout: &KeyedLayout) -> Result<Option<ChangeBatch>, ArrowError> {
        if self.is_empty() {
            return Ok(None);
        }
        let starts = |i: usize| if i == 0 { 0 } else { self.ends[i - 1].1 };
        let keys = (0..self.ends.len()).map(|i| &self.bytes[starts(i)..self.ends[i].0]);
        let values = self
            .ends
            .iter()
            .map(|&(key_end, value_end)| &self.bytes[key_end..value_end]);
        let rows = layout.decode(keys, values)?;
        self.bytes.clear();
        self.ends.clear();
        Ok(Some(ChangeBatch::new(
            rows,
            std::mem::take(&mut self.diffs),
        )))
    }
}
