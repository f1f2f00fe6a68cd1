//! A list of encoded rows in one buffer: what arrangements keep keys and values in.
//!
//! A row costs its bytes and four more for its end, without a handle or an allocation of its own, and merging batches copies bytes from one
//! buffer to another.

use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::implementations::OffsetList;
use tidemill_types::Row;
use timely::container::PushInto;

/// A row in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowRef<'a>(pub &'a [u8]);

impl RowRef<'_> {
    /// The row by itself.
    #[must_use]
    pub fn to_row(self) -> Row {
        Row::from(self.0)
    }
}

impl PartialEq<&Row> for RowRef<'_> {
    fn eq(&self, other: &&Row) -> bool {
        self.0 == other.as_bytes()
    }
}

/// Encoded rows, back to back.
#[derive(Debug)]
pub struct RowList {
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: OffsetList,
}

impl Default for RowList {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            ends: OffsetList::with_capacity(0),
        }
    }
}

impl RowList {
    fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }
}

impl PushInto<Row> for RowList {
    fn push_into(&mut self, row: Row) {
        self.push(row.as_bytes());
    }
}

impl BatchContainer for RowList {
    type Owned = Row;
    type ReadItem<'a> = RowRef<'a>;

    fn into_owned(item: RowRef<'_>) -> Row {
        item.to_row()
    }

    fn push_ref(&mut self, item: RowRef<'_>) {
        self.push(item.0);
    }

    fn push_own(&mut self, item: &Row) {
        self.push(item.as_bytes());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends = OffsetList::with_capacity(0);
    }

    fn with_capacity(size: usize) -> Self {
        Self {
            bytes: Vec::new(),
            ends: OffsetList::with_capacity(size),
        }
    }

    fn merge_capacity(a: &Self, b: &Self) -> Self {
        Self {
            bytes: Vec::with_capacity(a.bytes.len() + b.bytes.len()),
            ends: OffsetList::with_capacity(a.ends.len() + b.ends.len()),
        }
    }

    fn reborrow<'b, 'a: 'b>(item: RowRef<'a>) -> RowRef<'b> {
        item
    }

    fn index(&self, index: usize) -> RowRef<'_> {
        let start = if index == 0 {
            0
        } else {
            self.ends.index(index - 1)
        };
        RowRef(&self.bytes[start..self.ends.index(index)])
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}
