//! Gathering: encoded rows that are read once, decoded once, and then taken as often as they are needed.
//!
//! A join puts every row that it reads into a [`Gathered`] list and from then on handles its number: products of rows are products of
//! numbers, no row is copied or counted by reference, and a row that matches a thousand others is decoded once.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take;
use differential_dataflow::trace::implementations::BatchContainer;
use tidemill_types::RowCodec;

use crate::row_list::{RowList, RowRef};

/// The number of a row in a [`Gathered`] list.
pub type RowId = u32;

/// Instead of a row: nulls.
pub const PADDED: RowId = RowId::MAX;

/// Encoded rows, by number.
#[derive(Debug, Default)]
pub struct Gathered(RowList);

impl Gathered {
    /// Adds a row.
    pub fn push(&mut self, row: RowRef<'_>) -> RowId {
        let id = RowId::try_from(self.0.len()).expect("a batch gathers fewer than 2^32 rows");
        self.0.push_ref(row);
        id
    }

    /// The bytes of a row.
    #[must_use]
    pub fn bytes(&self, id: RowId) -> &[u8] {
        self.0.index(id as usize).0
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// All rows as columns.
    ///
    /// # Errors
    /// If the bytes are not of this codec.
    pub fn decode(&self, codec: &RowCodec) -> Result<Vec<ArrayRef>, ArrowError> {
        codec.decode((0..self.0.len()).map(|i| self.0.index(i).0))
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

/// The rows of `columns` with these numbers; nulls where a number is [`PADDED`].
///
/// # Errors
/// If a number is out of bounds.
pub fn take_rows(columns: &[ArrayRef], ids: &[RowId]) -> Result<Vec<ArrayRef>, ArrowError> {
    let Some(first) = columns.first() else {
        return Ok(Vec::new());
    };
    let is_whole = first.len() == ids.len() && (0..).zip(ids).all(|(i, &id)| i == id);
    if is_whole {
        return Ok(columns.to_vec());
    }
    let indices: UInt32Array = if ids.contains(&PADDED) {
        ids.iter().map(|&id| (id != PADDED).then_some(id)).collect()
    } else {
        UInt32Array::from(ids.to_vec())
    };
    columns
        .iter()
        .map(|column| take(column, &indices, None))
        .collect()
}
