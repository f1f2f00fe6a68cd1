//! What lies in a value: `address.city` of a struct, `counts['a']` of a map, `tags[1]` of an array, and how much there is.
//!
//! What is not there is null: a key that a map does not have, an element beyond the last one, whatever lies in a null. Elements count from 1;
//! from the end, backwards, from -1. (DataFusion's `get_field` takes what lies under a null struct for its field.)

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, UInt32Array, make_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::arrow::compute::take;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidemill_types::sql_type;

/// The name of the function behind `a.b` and `a[b]`.
pub const PART: &str = "part";

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    /// A part of a value, by its name, key or number.
    Part,
    /// How many parts an array has, or an array or a map.
    Count { of_maps: bool },
}

/// A function of values with others in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NestedFunction {
    name: &'static str,
    which: Which,
    signature: Signature,
}

fn function(name: &'static str, which: Which) -> ScalarUDF {
    ScalarUDF::from(NestedFunction {
        name,
        which,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// The functions that have names in SQL.
#[must_use]
pub fn functions() -> Vec<ScalarUDF> {
    vec![
        function("array_length", Which::Count { of_maps: false }),
        function("cardinality", Which::Count { of_maps: true }),
    ]
}

/// The function behind `a.b` and `a[b]`.
#[must_use]
pub fn part() -> ScalarUDF {
    function(PART, Which::Part)
}

/// The type of a part; `key` is what is written in its place, where it is a constant.
///
/// # Errors
/// If the type has no such part.
pub fn part_type(of: &DataType, key: &DataType, constant: Option<&str>) -> Result<DataType> {
    let is_text = matches!(
        key,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    );
    let called = sql_type::name(of);
    match of {
        DataType::Struct(fields) => {
            let Some(name) = constant.filter(|_| is_text) else {
                return plan_err!("a field of {called} is named by a text: write ['name']");
            };
            let known: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
            match fields.iter().find(|field| field.name() == name) {
                Some(field) => Ok(field.data_type().clone()),
                None => plan_err!(
                    "there is no field '{name}' in {called}; it has '{}'",
                    known.join("', '")
                ),
            }
        }
        DataType::List(element) if key.is_integer() => Ok(element.data_type().clone()),
        DataType::List(_) => plan_err!("an element of {called} is found by its number: write [1]"),
        other => match sql_type::map_value(other) {
            Some(value) if is_text => Ok(value.clone()),
            Some(_) => plan_err!("a value of {called} is found by its key: write ['key']"),
            None => plan_err!(
                "a {called} has no parts; only a STRUCT, an ARRAY or a MAP is followed by '.' or '['"
            ),
        },
    }
}

impl NestedFunction {
    fn result(&self, types: &[DataType], constant: Option<&str>) -> Result<DataType> {
        match (self.which, types) {
            (Which::Part, [of, key]) => part_type(of, key, constant),
            (Which::Count { .. }, [DataType::List(_)])
            | (Which::Count { of_maps: true }, [DataType::Map(..)]) => Ok(DataType::Int64),
            (Which::Count { of_maps }, [other]) => {
                let expected = if of_maps {
                    "an ARRAY or a MAP"
                } else {
                    "an ARRAY"
                };
                let found = sql_type::name(other);
                plan_err!(
                    "'{}' counts what is in {expected}, not in {found}",
                    self.name
                )
            }
            (_, types) => plan_err!("'{}' does not take {} arguments", self.name, types.len()),
        }
    }
}

impl ScalarUDFImpl for NestedFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<_> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(match (self.which, args.as_slice()) {
            (Which::Part, [of, key]) => format!("{of}[{key}]"),
            (_, args) => format!("{}({})", self.name, args.join(",")),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.which, types) {
            (Which::Part, [of @ DataType::List(_), key]) if key.is_integer() => {
                Ok(vec![of.clone(), DataType::Int64])
            }
            (Which::Part, [of, _]) => Ok(vec![of.clone(), DataType::Utf8]),
            _ => self.result(types, None).map(|_| types.to_vec()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.result(types, None)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone());
        let constant = args.scalar_arguments.get(1).copied().flatten();
        let constant = constant.and_then(|name| name.try_as_str().flatten());
        let data_type = self.result(&types.collect::<Vec<_>>(), constant)?;
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        let scalar = args.args.iter().all(is_scalar);
        let rows = if scalar { 1 } else { args.number_rows };
        let array = match (self.which, args.args.as_slice()) {
            (Which::Part, [of, key]) => part_of(&of.to_array(rows)?, key, rows)?,
            (Which::Count { .. }, [of]) => count(&of.to_array(rows)?)?,
            _ => return exec_err!("'{}' does not take these arguments", self.name),
        };
        Ok(if scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        } else {
            ColumnarValue::Array(array)
        })
    }
}

fn part_of(of: &ArrayRef, key: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    match (of.data_type(), key) {
        (DataType::Struct(_), ColumnarValue::Scalar(name)) => {
            let fields = of.as_struct();
            let name = name.try_as_str().flatten().unwrap_or_default();
            match fields.column_by_name(name) {
                Some(field) => Ok(without(field, fields.nulls())?),
                None => exec_err!("there is no field '{name}'"),
            }
        }
        (DataType::List(_), numbers) => {
            let list = of.as_list::<i32>();
            let numbers = numbers.to_array(rows)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            let places = numbers.iter().enumerate().map(|(row, number)| {
                let (start, len) = place(list.offsets(), list.nulls(), row)?;
                let from_start = match number? {
                    number @ 1.. => number - 1,
                    number => i64::from(len).checked_add(number)?,
                };
                // Zero is beyond the last one, and what is before the first one is no place.
                let within = u32::try_from(from_start).ok();
                within
                    .filter(|&place| place < len)
                    .map(|place| start + place)
            });
            let places: UInt32Array = places.collect();
            Ok(take(list.values(), &places, None)?)
        }
        (DataType::Map(..), keys) => {
            let map = of.as_map();
            let wanted = keys.to_array(rows)?;
            let wanted = wanted.as_string::<i32>();
            let keys = map.keys().as_string::<i32>();
            let places = wanted.iter().enumerate().map(|(row, wanted)| {
                let (start, len) = place(map.offsets(), map.nulls(), row)?;
                let wanted = wanted?;
                let mut entries = start..start + len;
                entries.find(|&entry| keys.value(entry as usize) == wanted)
            });
            let places: UInt32Array = places.collect();
            Ok(take(map.values(), &places, None)?)
        }
        (other, _) => exec_err!("{} has no parts", sql_type::name(other)),
    }
}

/// An array with nulls also where there are others.
fn without(array: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    let both = NullBuffer::union(array.nulls(), nulls);
    let nulls = both.as_ref().map_or(0, NullBuffer::null_count);
    if nulls == array.null_count() {
        return Ok(Arc::clone(array));
    }
    let data = array.to_data().into_builder().nulls(both).build()?;
    Ok(make_array(data))
}

/// Where the parts of a row begin, and how many they are; none of a null.
fn place(
    offsets: &OffsetBuffer<i32>,
    nulls: Option<&NullBuffer>,
    row: usize,
) -> Option<(u32, u32)> {
    if nulls.is_some_and(|nulls| nulls.is_null(row)) {
        return None;
    }
    let start = u32::try_from(offsets[row]).ok()?;
    let end = u32::try_from(offsets[row + 1]).ok()?;
    Some((start, end - start))
}

fn count(of: &ArrayRef) -> Result<ArrayRef> {
    let offsets = match of.data_type() {
        DataType::List(_) => of.as_list::<i32>().offsets(),
        DataType::Map(..) => of.as_map().offsets(),
        other => return exec_err!("{} has no parts", sql_type::name(other)),
    };
    let lengths = offsets.lengths().map(|length| length as i64);
    let lengths = Int64Array::from_iter_values(lengths);
    let (_, lengths, _) = lengths.into_parts();
    Ok(Arc::new(Int64Array::new(lengths, of.nulls().cloned())))
}
