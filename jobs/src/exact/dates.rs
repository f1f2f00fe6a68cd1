//! The functions of dates and times that DataFusion computes in nanoseconds, or with another unit than the dialect's:
//! here on milliseconds, over all years of a `TIMESTAMP`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float64Type, Int64Type, IntervalMonthDayNanoType, TimestampMillisecondType,
};
use arrow_array::{
    Array, ArrayRef, Date32Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow_cast::parse::string_to_datetime;
use arrow_schema::{DataType, Field, FieldRef, IntervalUnit};
use chrono::Utc;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::domain::MS_PER_DAY;
use super::moments::{Stride, Unit, parse};
use crate::catalog::TIMESTAMP;

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    Trunc,
    Bin,
    /// A number, a text or a moment as a moment; the numbers count so many to a second.
    ToTimestamp(i64),
    ToUnixtime,
    ToDate,
}

/// A function of dates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct DateFunction {
    name: &'static str,
    aliases: Vec<String>,
    which: Which,
    signature: Signature,
}

/// The functions, in place of DataFusion's of the same names.
#[must_use]
pub fn functions() -> Vec<ScalarUDF> {
    let function = |name, aliases: &[&str], which| {
        ScalarUDF::from(DateFunction {
            name,
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            which,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    };
    vec![
        function("date_trunc", &["datetrunc"], Which::Trunc),
        function("date_bin", &[], Which::Bin),
        function("from_unixtime", &[], Which::ToTimestamp(1)),
        function("to_timestamp", &[], Which::ToTimestamp(1)),
        function("to_timestamp_seconds", &[], Which::ToTimestamp(1)),
        function("to_timestamp_millis", &[], Which::ToTimestamp(1_000)),
        function("to_timestamp_micros", &[], Which::ToTimestamp(1_000_000)),
        function("to_timestamp_nanos", &[], Which::ToTimestamp(1_000_000_000)),
        function("to_unixtime", &[], Which::ToUnixtime),
        function("to_date", &[], Which::ToDate),
    ]
}

impl ScalarUDFImpl for DateFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        match (self.which, types) {
            (Which::Trunc, [_, moment]) => Ok(vec![DataType::Utf8, self.moment(moment)?]),
            (Which::Bin, [_, moments @ ..]) if (1..=2).contains(&moments.len()) => {
                let moments = moments.iter().map(|moment| self.moment(moment));
                std::iter::once(Ok(interval)).chain(moments).collect()
            }
            (Which::ToTimestamp(_) | Which::ToUnixtime | Which::ToDate, [value, formats @ ..]) => {
                let value = self.value(value)?;
                if value != DataType::Utf8 && !formats.is_empty() {
                    return plan_err!("'{}' takes formats for a VARCHAR only", self.name);
                }
                let formats = formats.iter().map(|_| DataType::Utf8);
                Ok(std::iter::once(value).chain(formats).collect())
            }
            _ => plan_err!("'{}' does not take {} arguments", self.name, types.len()),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.which {
            Which::Trunc | Which::Bin | Which::ToTimestamp(_) => TIMESTAMP,
            Which::ToUnixtime => DataType::Int64,
            Which::ToDate => DataType::Date32,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        // What is written out is checked while planning.
        match (self.which, args.scalar_arguments.first().copied().flatten()) {
            (Which::Trunc, Some(ScalarValue::Utf8(Some(name)))) => unit(name).map(|_| ())?,
            (Which::Bin, Some(ScalarValue::IntervalMonthDayNano(Some(interval)))) => {
                stride(*interval).map(|_| ())?;
            }
            _ => {}
        }
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        let data_type = self.return_type(&[])?;
        Ok(Arc::new(Field::new(self.name, data_type, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let scalar = args.args.iter().all(all_scalar);
        let rows = if scalar { 1 } else { args.number_rows };
        let array = match (self.which, args.args.as_slice()) {
            (Which::Trunc, [name, moments]) => trunc(name, moments, rows)?,
            (Which::Bin, [interval, moments @ ..]) => bin(interval, moments, rows)?,
            (Which::ToTimestamp(per_second), [value, formats @ ..]) => {
                let moments = milliseconds(value, formats, per_second, rows)?;
                Arc::new(TimestampMillisecondArray::from(moments))
            }
            (Which::ToUnixtime, [value, formats @ ..]) => {
                let moments = milliseconds(value, formats, 1, rows)?.into_iter();
                let seconds = moments.map(|ms| ms.map(|ms| ms.div_euclid(1_000)));
                Arc::new(seconds.collect::<Int64Array>())
            }
            (Which::ToDate, [value, formats @ ..]) => Arc::new(dates(value, formats, rows)?),
            _ => return exec_err!("'{}' does not take these arguments", self.name),
        };
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

impl DateFunction {
    fn moment(&self, given: &DataType) -> Result<DataType> {
        match given {
            DataType::Timestamp(_, None)
            | DataType::Date32
            | DataType::Utf8
            | DataType::Utf8View
            | DataType::LargeUtf8
            | DataType::Null => Ok(TIMESTAMP),
            other => plan_err!("'{}' takes a TIMESTAMP or a DATE, not {other}", self.name),
        }
    }

    fn value(&self, given: &DataType) -> Result<DataType> {
        match given {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Ok(DataType::Utf8),
            DataType::Decimal128(..) => Ok(given.clone()),
            integer if integer.is_integer() => Ok(DataType::Int64),
            float if float.is_floating() => Ok(DataType::Float64),
            other => self.moment(other),
        }
    }
}

fn unit(name: &str) -> Result<Unit> {
    match Unit::named(name) {
        Some(unit) => Ok(unit),
        None => exec_err!(
            "'{name}' is no unit to truncate to; there are year, quarter, month, week, day, hour, minute, second and millisecond"
        ),
    }
}

fn stride(interval: arrow_buffer::IntervalMonthDayNano) -> Result<Stride> {
    Stride::of(interval.months, interval.days, interval.nanoseconds)
        .or_else(|reason| exec_err!("{reason}"))
}

fn trunc(name: &ColumnarValue, moments: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    let array = moments.to_array(rows)?;
    let moments = array.as_primitive::<TimestampMillisecondType>();
    let truncate = |unit: Unit, ms: i64| match unit.truncate(ms) {
        Some(begin) => Ok(begin),
        None => exec_err!("{ms} ms are beyond the calendar"),
    };
    if let ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) = name {
        let unit = unit(name)?;
        let begins: TimestampMillisecondArray = moments.try_unary(|ms| truncate(unit, ms))?;
        return Ok(Arc::new(begins));
    }
    let names = name.to_array(rows)?;
    let names = names.as_string::<i32>();
    let begins = names.iter().zip(moments).map(|pair| match pair {
        (Some(name), Some(ms)) => truncate(unit(name)?, ms).map(Some),
        _ => Ok(None),
    });
    let begins = begins.collect::<Result<TimestampMillisecondArray>>()?;
    Ok(Arc::new(begins))
}

fn bin(interval: &ColumnarValue, moments: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let intervals = interval.to_array(rows)?;
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let sources = moments[0].to_array(rows)?;
    let sources = sources.as_primitive::<TimestampMillisecondType>();
    let origins = match moments.get(1) {
        Some(origin) => origin.to_array(rows)?,
        None => ScalarValue::TimestampMillisecond(Some(0), None).to_array_of_size(rows)?,
    };
    let origins = origins.as_primitive::<TimestampMillisecondType>();
    let mut begins = Vec::with_capacity(rows);
    for ((interval, source), origin) in intervals.iter().zip(sources).zip(origins) {
        begins.push(match (interval, source, origin) {
            (Some(interval), Some(ms), Some(origin)) => match stride(interval)?.bin(ms, origin) {
                Some(begin) => Some(begin),
                None => return exec_err!("the bin begins beyond the calendar"),
            },
            _ => None,
        });
    }
    Ok(Arc::new(TimestampMillisecondArray::from(begins)))
}

/// Moments of numbers, so many to a second, of texts, or of moments.
fn milliseconds(
    value: &ColumnarValue,
    formats: &[ColumnarValue],
    per_second: i64,
    rows: usize,
) -> Result<Vec<Option<i64>>> {
    let array = value.to_array(rows)?;
    let (times, per) = (1_000, i128::from(per_second));
    let fitting = |ms: i128| match i64::try_from(ms) {
        Ok(ms) => Ok(ms),
        Err(_) => exec_err!("the result is outside the years 1 to 9999"),
    };
    match array.data_type() {
        DataType::Int64 => {
            let numbers = array.as_primitive::<Int64Type>().iter();
            let ms = |number: i64| fitting((i128::from(number) * times).div_euclid(per));
            numbers.map(|number| number.map(ms).transpose()).collect()
        }
        DataType::Decimal128(_, scale) => {
            let one = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
            let per = match one.and_then(|one| one.checked_mul(per)) {
                Some(per) if *scale >= 0 => per,
                _ => return exec_err!("the number has too many digits"),
            };
            let ms = |number: i128| match number.checked_mul(times) {
                Some(number) => fitting(number.div_euclid(per)),
                None => exec_err!("the number has too many digits"),
            };
            let numbers = array.as_primitive::<Decimal128Type>().iter();
            numbers.map(|number| number.map(ms).transpose()).collect()
        }
        DataType::Float64 => {
            let numbers = array.as_primitive::<Float64Type>().iter();
            let ms = |number: f64| approximate(number, per_second);
            numbers.map(|number| number.map(ms).transpose()).collect()
        }
        DataType::Utf8 => texts(array.as_string(), formats),
        _ => Ok(array
            .as_primitive::<TimestampMillisecondType>()
            .iter()
            .collect()),
    }
}

/// The millisecond that is nearest to a floating-point number.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a floating-point number is approximate, and the range is checked"
)]
fn approximate(number: f64, per_second: i64) -> Result<i64> {
    let ms = (number * 1_000.0 / per_second as f64).round();
    if ms.abs() < 1e15 {
        Ok(ms as i64)
    } else {
        exec_err!("the result is outside the years 1 to 9999")
    }
}

/// Moments of texts: in one of the formats, or as ISO 8601 has them.
fn texts(values: &StringArray, formats: &[ColumnarValue]) -> Result<Vec<Option<i64>>> {
    let columns = formats
        .iter()
        .map(|format| format.to_array(values.len()))
        .collect::<Result<Vec<_>>>()?;
    let columns: Vec<&StringArray> = columns.iter().map(|column| column.as_string()).collect();
    let mut moments = Vec::with_capacity(values.len());
    for (row, text) in values.iter().enumerate() {
        let Some(text) = text else {
            moments.push(None);
            continue;
        };
        let present = columns.iter().filter(|column| column.is_valid(row));
        let mut formats = present.map(|column| column.value(row)).peekable();
        if columns.is_empty() {
            let moment = string_to_datetime(&Utc, text)?;
            moments.push(Some(moment.timestamp_millis()));
        } else if formats.peek().is_none() {
            moments.push(None);
        } else {
            match parse(text, formats) {
                Some(ms) => moments.push(Some(ms)),
                None => return exec_err!("'{text}' is in none of the formats"),
            }
        }
    }
    Ok(moments)
}

/// Dates of numbers of days since 1970, of texts, or of moments.
fn dates(value: &ColumnarValue, formats: &[ColumnarValue], rows: usize) -> Result<Date32Array> {
    let days: Vec<Option<i64>> = match value.data_type() {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
            let days = value.cast_to(&DataType::Int64, None)?.to_array(rows)?;
            days.as_primitive::<Int64Type>().iter().collect()
        }
        _ => milliseconds(value, formats, 1, rows)?
            .into_iter()
            .map(|ms| ms.map(|ms| ms.div_euclid(MS_PER_DAY)))
            .collect(),
    };
    let fitting = |days: i64| match i32::try_from(days) {
        Ok(days) => Ok(days),
        Err(_) => exec_err!("the result is outside the years 1 to 9999"),
    };
    days.into_iter()
        .map(|days| days.map(fitting).transpose())
        .collect()
}
