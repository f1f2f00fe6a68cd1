//! The columns that a decoded event carries beside the columns that its source declares. They follow the declared columns, in this order.

use arrow_schema::{DataType, Field};

/// What the event does to its entity: one of [`OP_CREATE`], [`OP_UPDATE`], [`OP_DELETE`] (`UInt8`, not null). `read` events are counted by
/// the decoder and go no further.
pub const OP: &str = "__op";
/// Source partition (`UInt32`, not null).
pub const PARTITION: &str = "__partition";
/// Offset in the partition (`Int64`, not null).
pub const OFFSET: &str = "__offset";
/// When the record was written, in milliseconds since 1970 (`Int64`, not null), never earlier than a record before it in the same epoch and
/// partition; only present where a later stage needs it (deduplication, a table without a version).
pub const TIME: &str = "__time";
/// The record as read (`Binary`, not null); only present where a later stage needs it (for a ledger).
pub const BYTES: &str = "__bytes";

/// An entity appeared.
pub const OP_CREATE: u8 = 0;
/// An entity has a new state.
pub const OP_UPDATE: u8 = 1;
/// An entity is gone. All columns but the metadata may be null.
pub const OP_DELETE: u8 = 2;

/// Which of the columns are there that not every job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// [`TIME`].
    pub time: bool,
    /// [`BYTES`].
    pub bytes: bool,
}

/// The system columns as fields, in order.
#[must_use]
pub fn fields(kept: Kept) -> Vec<Field> {
    let mut fields = vec![
        Field::new(OP, DataType::UInt8, false),
        Field::new(PARTITION, DataType::UInt32, false),
        Field::new(OFFSET, DataType::Int64, false),
    ];
    if kept.time {
        fields.push(Field::new(TIME, DataType::Int64, false));
    }
    if kept.bytes {
        fields.push(Field::new(BYTES, DataType::Binary, false));
    }
    fields
}
