//! The values that the types of SQL have. What is outside is no value, but an error of the row.

use std::ops::RangeInclusive;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowTemporalType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{Result, exec_err};
use datafusion_expr::ColumnarValue;

/// `0001-01-01`, in days since 1970-01-01.
pub const FIRST_DAY: i64 = -719_162;
/// `9999-12-31`, in days since 1970-01-01.
pub const LAST_DAY: i64 = 2_932_896;
/// A day.
pub const MS_PER_DAY: i64 = 86_400_000;
/// `0001-01-01T00:00:00.000`, in milliseconds since 1970.
pub const FIRST_MS: i64 = FIRST_DAY * MS_PER_DAY;
/// `9999-12-31T23:59:59.999`, in milliseconds since 1970.
pub const LAST_MS: i64 = (LAST_DAY + 1) * MS_PER_DAY - 1;

/// The values of a `TIMESTAMP`, in milliseconds since 1970.
pub const TIMES: RangeInclusive<i64> = FIRST_MS..=LAST_MS;

/// Holds a result to the values of its type.
///
/// # Errors
/// If a value is none.
pub fn check(value: &ColumnarValue) -> Result<()> {
    match value {
        ColumnarValue::Array(array) => check_array(array),
        ColumnarValue::Scalar(scalar) if is_bounded(&scalar.data_type()) => {
            check_array(&scalar.to_array()?)
        }
        ColumnarValue::Scalar(_) => Ok(()),
    }
}

const fn is_bounded(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(..)
            | DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

fn check_array(array: &ArrayRef) -> Result<()> {
    match array.data_type() {
        DataType::Date32 => years::<Date32Type>(array, FIRST_DAY, LAST_DAY),
        DataType::Date64 => years::<Date64Type>(array, FIRST_MS, LAST_MS),
        DataType::Timestamp(TimeUnit::Second, _) => {
            years::<TimestampSecondType>(array, FIRST_MS / 1000, LAST_MS / 1000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            years::<TimestampMillisecondType>(array, FIRST_MS, LAST_MS)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            years::<TimestampMicrosecondType>(array, FIRST_MS * 1000, LAST_MS * 1000 + 999)
        }
        // Of nanoseconds there are too few for the years to end.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            years::<TimestampNanosecondType>(array, i64::MIN, i64::MAX)
        }
        DataType::Float16 => all(array.as_primitive::<Float16Type>(), |v| v.is_finite()),
        DataType::Float32 => all(array.as_primitive::<Float32Type>(), f32::is_finite),
        DataType::Float64 => all(array.as_primitive::<Float64Type>(), f64::is_finite),
        // A type with fewer digits was made for all results.
        DataType::Decimal128(38, _) => {
            let decimals = array.as_primitive::<Decimal128Type>();
            Ok(decimals.validate_decimal_precision(38)?)
        }
        DataType::Decimal256(76, _) => {
            let decimals = array.as_primitive::<Decimal256Type>();
            Ok(decimals.validate_decimal_precision(76)?)
        }
        _ => Ok(()),
    }
}

fn years<T>(array: &ArrayRef, first: i64, last: i64) -> Result<()>
where
    T: ArrowPrimitiveType + ArrowTemporalType,
    T::Native: Into<i64>,
{
    let inside = |value: T::Native| (first..=last).contains(&value.into());
    let values = array.as_primitive::<T>();
    if holds(values, inside) {
        Ok(())
    } else {
        exec_err!("the result is outside the years 1 to 9999")
    }
}

fn all<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    finite: impl Fn(T::Native) -> bool,
) -> Result<()> {
    if holds(values, finite) {
        Ok(())
    } else {
        exec_err!("the result is not a finite number")
    }
}

/// True if something holds of every value. What lies under a null does not count.
fn holds<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    holds: impl Fn(T::Native) -> bool,
) -> bool {
    values.values().iter().all(|&value| holds(value)) || values.iter().flatten().all(holds)
}
