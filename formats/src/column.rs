//! Growing columns that can be cut back, so that a record that fails midway leaves nothing behind. (Arrow's builders only grow.)

mod nested;

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray,
};
use arrow_buffer::{
    BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{DataType, TimeUnit};

use crate::fault::Fault;
pub use nested::Nested;

const UUID_BYTES: usize = 16;

/// The values of one column.
#[derive(Debug)]
pub struct ColumnBuffer {
    values: Values,
    nulls: NullBufferBuilder,
}

/// By type; a null takes up a default value.
#[derive(Debug)]
pub enum Values {
    Boolean(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Decimal {
        unscaled: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Text {
        bytes: Vec<u8>,
        ends: Vec<i32>,
    },
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    Uuid(Vec<u8>),
    /// Values with others in them, a step away so that the flat ones stay small.
    Nested(Box<Nested>),
}

impl ColumnBuffer {
    /// An empty column; none if no format has such a type.
    pub fn new(data_type: &DataType) -> Option<Self> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            &DataType::Decimal128(precision, scale) => Values::Decimal {
                unscaled: Vec::new(),
                precision,
                scale,
            },
            DataType::Utf8 => Values::Text {
                bytes: Vec::new(),
                ends: Vec::new(),
            },
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Timestamp(TimeUnit::Millisecond, None) => Values::Timestamp(Vec::new()),
            DataType::FixedSizeBinary(16) => Values::Uuid(Vec::new()),
            nested => Values::Nested(Box::new(Nested::new(nested)?)),
        };
        Some(Self {
            values,
            nulls: NullBufferBuilder::new(0),
        })
    }

    /// What holds the values in its values, if they have others in them.
    pub fn nested(&mut self) -> Option<&mut Nested> {
        match &mut self.values {
            Values::Nested(nested) => Some(nested),
            _ => None,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    pub fn reserve(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.reserve(rows),
            Values::Int32(values) | Values::Date(values) => values.reserve(rows),
            Values::Int64(values) | Values::Timestamp(values) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Decimal { unscaled, .. } => unscaled.reserve(rows),
            Values::Text { ends, .. } => ends.reserve(rows),
            Values::Uuid(values) => values.reserve(rows * UUID_BYTES),
            // How much lies in them nobody knows.
            Values::Nested(_) => {}
        }
    }

    /// Appends a value by its type; on a fault nothing is appended.
    #[inline]
    pub fn push_with(
        &mut self,
        push: impl FnOnce(&mut Values) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        push(&mut self.values)?;
        self.nulls.append_non_null();
        Ok(())
    }

    /// Appends a number to a column of integers or timestamps.
    pub fn push_integer(&mut self, value: i64) -> Result<(), Fault> {
        match &mut self.values {
            Values::Int32(values) => {
                values.push(i32::try_from(value).map_err(|_| Fault::OutOfRange)?)
            }
            Values::Int64(values) | Values::Timestamp(values) => values.push(value),
            _ => return Err(Fault::WrongType),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Appends to a column of text.
    pub fn push_text(&mut self, text: &str) {
        if let Values::Text { bytes, ends } = &mut self.values {
            push_text(text, bytes, ends);
            self.nulls.append_non_null();
        }
    }

    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int32(values) | Values::Date(values) => values.push(0),
            Values::Int64(values) | Values::Timestamp(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal { unscaled, .. } => unscaled.push(0),
            Values::Text { bytes, ends } => push_text("", bytes, ends),
            Values::Uuid(values) => values.extend_from_slice(&[0; UUID_BYTES]),
            Values::Nested(nested) => nested.push_null(),
        }
        self.nulls.append_null();
    }

    /// The last value of a column of timestamps.
    pub fn last_time(&self) -> Option<i64> {
        let Values::Timestamp(values) = &self.values else {
            return None;
        };
        let last = values.len().checked_sub(1)?;
        self.nulls.is_valid(last).then(|| values[last])
    }

    /// Cuts the column back to `rows` values, if it has more.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.truncate(rows),
            Values::Int32(values) | Values::Date(values) => values.truncate(rows),
            Values::Int64(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal { unscaled, .. } => unscaled.truncate(rows),
            Values::Text { bytes, ends } => {
                ends.truncate(rows);
                bytes.truncate(ends.last().map_or(0, |&end| end as usize));
            }
            Values::Uuid(values) => values.truncate(rows * UUID_BYTES),
            Values::Nested(nested) => nested.truncate(rows),
        }
        self.nulls.truncate(rows);
    }

    /// The values as an array; the column is empty again.
    pub fn finish(&mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int32(values) => Arc::new(primitive::<Int32Type>(values, nulls)),
            Values::Int64(values) => Arc::new(primitive::<Int64Type>(values, nulls)),
            Values::Float64(values) => Arc::new(primitive::<Float64Type>(values, nulls)),
            Values::Decimal {
                unscaled,
                precision,
                scale,
            } => {
                let data_type = DataType::Decimal128(*precision, *scale);
                Arc::new(primitive::<Decimal128Type>(unscaled, nulls).with_data_type(data_type))
            }
            Values::Text { bytes, ends } => {
                let bytes = Buffer::from_vec(std::mem::take(bytes));
                Arc::new(StringArray::new(
                    offsets(std::mem::take(ends)),
                    bytes,
                    nulls,
                ))
            }
            Values::Date(values) => Arc::new(primitive::<Date32Type>(values, nulls)),
            Values::Timestamp(values) => {
                Arc::new(primitive::<TimestampMillisecondType>(values, nulls))
            }
            Values::Uuid(values) => {
                let bytes = Buffer::from_vec(std::mem::take(values));
                Arc::new(FixedSizeBinaryArray::new(16, bytes, nulls))
            }
            Values::Nested(nested) => nested.finish(nulls),
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> PrimitiveArray<T> {
    PrimitiveArray::new(ScalarBuffer::from(std::mem::take(values)), nulls)
}

/// Appends to a column of text.
#[inline]
pub fn push_text(text: &str, bytes: &mut Vec<u8>, ends: &mut Vec<i32>) {
    bytes.extend_from_slice(text.as_bytes());
    ends.push(i32::try_from(bytes.len()).expect("a source bounds its batches far below 2 GiB"));
}

/// The offsets of consecutive values that end at `ends`.
pub fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}
