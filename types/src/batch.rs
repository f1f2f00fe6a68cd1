//! Changes in motion: columns with a diff per row.

use arrow_array::RecordBatch;

/// A batch of changes of one epoch, column-wise: row `i` of `rows` is added `diffs[i]` times (negative: taken away).
///
/// The epoch is the timely timestamp that the batch travels at. No diffs means that every row is added once, the common case
/// of a stream that only appends.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    /// The rows.
    pub rows: RecordBatch,
    /// One diff per row, or `None` if all are +1.
    pub diffs: Option<Vec<i64>>,
}

impl ChangeBatch {
    /// Rows that are all added once.
    #[must_use]
    pub const fn inserts(rows: RecordBatch) -> Self {
        Self { rows, diffs: None }
    }

    /// Rows with a diff each.
    #[must_use]
    pub fn new(rows: RecordBatch, diffs: Vec<i64>) -> Self {
        debug_assert_eq!(rows.num_rows(), diffs.len(), "one diff per row");
        Self {
            rows,
            diffs: Some(diffs),
        }
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// True if there is no change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The diff of row `i`.
    #[must_use]
    pub fn diff(&self, i: usize) -> i64 {
        self.diffs.as_ref().map_or(1, |diffs| diffs[i])
    }
}
