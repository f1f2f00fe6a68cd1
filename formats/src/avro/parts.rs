//! What lies in an Avro value, one by one: the fields of a record, the entries of a map, the items of an array.
//!
//! Promises: what comes out is of its schema, and a block whose length is not what its writer says is a fault.

use super::program::{BRANCHES, SYMBOLS, nested, scalar_value, skip, symbol_value};
use super::schema::{Schema, Type, TypeId};
use super::value::{AvroValue, Nested};
use super::wire::Cursor;
use crate::fault::Fault;

/// Hands over the fields of a record, or the entries of a map.
///
/// # Errors
/// If it is neither, or is not of its schema, or what `each` returns.
pub fn members<'a>(
    of: Nested<'a>,
    each: &mut dyn FnMut(&str, AvroValue<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Nested { schema, id, bytes } = of;
    let mut cursor = Cursor::new(bytes, 0);
    match schema.get(id) {
        Type::Record(fields) => {
            for field in fields {
                each(&field.name, next(schema, field.kind, &mut cursor)?)?;
            }
        }
        Type::Map(values) => blocks(&mut cursor, |cursor| {
            let key = cursor.text()?;
            each(key, next(schema, *values, cursor)?)
        })?,
        Type::Scalar(_) | Type::Enum(_) | Type::Array(_) | Type::Union(_) => {
            return Err(Fault::WrongType);
        }
    }
    Ok(cursor.end()?)
}

/// Hands over the items of an array.
///
/// # Errors
/// If it is none, or is not of its schema, or what `each` returns.
pub fn items<'a>(
    of: Nested<'a>,
    each: &mut dyn FnMut(AvroValue<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Nested { schema, id, bytes } = of;
    let Type::Array(items) = schema.get(id) else {
        return Err(Fault::WrongType);
    };
    let mut cursor = Cursor::new(bytes, 0);
    blocks(&mut cursor, |cursor| each(next(schema, *items, cursor)?))?;
    Ok(cursor.end()?)
}

/// The next value of a type.
fn next<'a>(
    schema: &'a Schema,
    id: TypeId,
    cursor: &mut Cursor<'a>,
) -> Result<AvroValue<'a>, Fault> {
    match schema.get(id) {
        &Type::Scalar(scalar) => Ok(scalar_value(scalar, cursor)?.0),
        Type::Enum(symbols) => {
            let symbol = cursor.choice(symbols.len(), SYMBOLS)?;
            Ok(symbol_value(schema, id, symbol))
        }
        Type::Union(branches) => {
            let branch = cursor.choice(branches.len(), BRANCHES)?;
            next(schema, branches[branch], cursor)
        }
        Type::Record(_) | Type::Array(_) | Type::Map(_) => {
            let start = cursor.at();
            skip(schema, id, cursor)?;
            Ok(nested(schema, id, cursor, start))
        }
    }
}

/// Reads every item of an array or a map.
///
/// # Errors
/// If a block is not as long as it says, or what `item` returns.
pub fn blocks<'a>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    cursor.enter()?;
    while let Some(block) = cursor.block()? {
        let start = cursor.at();
        for _ in 0..block.items {
            item(cursor)?;
        }
        let read = cursor.at() - start;
        if block.bytes.is_some_and(|bytes| bytes != read) {
            return Err(Fault::Malformed);
        }
    }
    cursor.leave();
    Ok(())
}
