//! Operators, casts and limits, computed column by column.

use std::sync::Arc;

use arrow_arith::numeric::neg;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal};

use super::domain;

/// So many bytes has a text at most that a function makes longer.
pub const MADE_TEXT_BYTES_MAX: i64 = 1 << 20;

/// An operator of two operands.
pub fn operate(op: Operator, operands: Vec<ColumnarValue>, rows: usize) -> Result<ColumnarValue> {
    if matches!(op, Operator::BitwiseShiftLeft | Operator::BitwiseShiftRight) {
        check_shift(&operands, rows)?;
    }
    let (mut fields, mut columns, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for operand in operands {
        parts.push(match operand {
            ColumnarValue::Scalar(scalar) => {
                Arc::new(Literal::new(scalar)) as Arc<dyn PhysicalExpr>
            }
            ColumnarValue::Array(array) => {
                let name = if columns.is_empty() { "left" } else { "right" };
                fields.push(Field::new(name, array.data_type().clone(), true));
                columns.push(array);
                Arc::new(Column::new(name, columns.len() - 1))
            }
        });
    }
    let [left, right] = <[_; 2]>::try_from(parts).or_else(|_| exec_err!("'{op}' takes two"))?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
    BinaryExpr::new(left, op, right)
        .with_fail_on_overflow(true)
        .evaluate(&batch)
}

/// What is shifted is shifted by fewer bits than its type has: the rest would be taken modulo.
fn check_shift(operands: &[ColumnarValue], rows: usize) -> Result<()> {
    let [shifted, by] = operands else {
        return Ok(());
    };
    let bits = by.data_type().primitive_width().unwrap_or(0) * 8;
    let shifted = shifted.to_array(rows)?;
    let by = by.cast_to(&DataType::Int64, None)?.to_array(rows)?;
    let present = by.as_primitive::<Int64Type>().iter().enumerate();
    let outside = present
        .filter(|(row, _)| shifted.is_valid(*row))
        .filter_map(|(_, by)| by)
        .find(|by| !usize::try_from(*by).is_ok_and(|by| by < bits));
    match outside {
        Some(by) => exec_err!("{by} is not a number of bits below {bits}"),
        None => Ok(()),
    }
}

/// Unary minus.
pub fn negate(operands: &[ColumnarValue]) -> Result<ColumnarValue> {
    match operands {
        [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(neg(array)?)),
        [ColumnarValue::Scalar(scalar)] => {
            let negative = neg(&scalar.to_array()?)?;
            ScalarValue::try_from_array(&negative, 0).map(ColumnarValue::Scalar)
        }
        _ => exec_err!("a minus takes one operand"),
    }
}

/// A cast of which everything fits.
pub fn cast(operands: &[ColumnarValue], to: &DataType) -> Result<ColumnarValue> {
    match operands {
        [operand] => operand.cast_to(to, None),
        _ => exec_err!("a cast takes one operand"),
    }
}

/// A cast in which null stands for what does not fit.
pub fn try_cast(operands: &[ColumnarValue], to: &DataType) -> Result<ColumnarValue> {
    let [operand] = operands else {
        return exec_err!("a cast takes one operand");
    };
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let array = operand.to_array(1)?;
    let mut result = cast_with_options(&array, to, &options)?;
    if domain::check(&ColumnarValue::Array(Arc::clone(&result))).is_err() {
        result = inside(&result)?;
    }
    Ok(match operand {
        ColumnarValue::Array(_) => ColumnarValue::Array(result),
        ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
    })
}

/// The values that are some of their type; the others are null.
fn inside(array: &ArrayRef) -> Result<ArrayRef> {
    let null = ScalarValue::try_from(array.data_type())?;
    let values = (0..array.len()).map(|row| {
        let value = ScalarValue::try_from_array(array, row)?;
        let fits = domain::check(&ColumnarValue::Scalar(value.clone())).is_ok();
        Ok(if fits { value } else { null.clone() })
    });
    ScalarValue::iter_to_array(values.collect::<Result<Vec<_>>>()?)
}

/// Refuses what would make texts of any length out of nothing.
pub fn check_length(function: &str, args: &[ColumnarValue], rows: usize) -> Result<()> {
    let bytes_per = match (function, args) {
        ("lpad" | "rpad", [_, _, ..]) => None,
        ("repeat", [text, _]) => Some(text.to_array(rows)?),
        _ => return Ok(()),
    };
    let counts = args[1].cast_to(&DataType::Int64, None)?.to_array(rows)?;
    let lengths = bytes_per
        .map(|texts| datafusion_common::arrow::compute::kernels::length::length(&texts))
        .transpose()?
        .map(|lengths| arrow_cast::cast(&lengths, &DataType::Int64))
        .transpose()?;
    for (row, count) in counts.as_primitive::<Int64Type>().iter().enumerate() {
        let each = lengths.as_ref().map_or(1, |lengths| {
            let lengths = lengths.as_primitive::<Int64Type>();
            if lengths.is_null(row) {
                0
            } else {
                lengths.value(row)
            }
        });
        if count.unwrap_or(0).saturating_mul(each) > MADE_TEXT_BYTES_MAX {
            return exec_err!("the text would have more than {MADE_TEXT_BYTES_MAX} bytes");
        }
    }
    Ok(())
}
