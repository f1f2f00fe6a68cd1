//! Growing columns of structs, arrays and maps: the values that lie in theirs are in columns of their own.
//!
//! Promises: a value that does not fit leaves nothing behind, and its fault names the way to what is wrong; the entries of a map stand by
//! key, each key once, so that equal maps are equal in every byte. Of a member that comes twice the last one counts.
//!
//! Does not look at members that no field of a struct has the name of.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, FieldRef, Fields};

use super::{ColumnBuffer, offsets};
use crate::encoding::{Conversion, ELEMENT, Value};
use crate::fault::Fault;
use crate::reason;

/// The values of a column that have others in them.
#[derive(Debug)]
pub enum Nested {
    Struct(Vec<Inner>, usize),
    List(Inner, Vec<i32>),
    Map {
        entries: FieldRef,
        keys: ColumnBuffer,
        values: Inner,
        ends: Vec<i32>,
    },
}

/// The values in the values of a column.
#[derive(Debug)]
pub struct Inner {
    field: FieldRef,
    column: ColumnBuffer,
    /// What the source's options say of them.
    declared: Conversion,
    /// What holds.
    conversion: Conversion,
}

impl Nested {
    /// An empty column; none if no format has such a type.
    pub fn new(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Struct(fields) if !fields.is_empty() => {
                let inner = fields.iter().map(Inner::new).collect::<Option<_>>();
                Some(Self::Struct(inner?, 0))
            }
            DataType::List(element) => Some(Self::List(Inner::new(element)?, Vec::new())),
            DataType::Map(entries, false) => {
                let (key, value) = entry(entries)?;
                if *key.data_type() != DataType::Utf8 {
                    return None;
                }
                Some(Self::Map {
                    entries: Arc::clone(entries),
                    keys: ColumnBuffer::new(key.data_type())?,
                    values: Inner::new(value)?,
                    ends: Vec::new(),
                })
            }
            _ => None,
        }
    }

    /// Takes over what the source's options say of values, by their type.
    ///
    /// # Errors
    /// What `declared` returns.
    pub fn declare<E>(
        &mut self,
        declared: &dyn Fn(&DataType) -> Result<Conversion, E>,
    ) -> Result<(), E> {
        for inner in self.inner() {
            inner.declared = declared(inner.field.data_type())?;
            inner.conversion = inner.declared;
            if let Some(nested) = inner.column.nested() {
                nested.declare(declared)?;
            }
        }
        Ok(())
    }

    /// Takes over what the records' schema says of the values at the paths below one. An element of an array and a value of a map are a
    /// step without a name.
    pub fn convert(
        &mut self,
        path: &mut Vec<String>,
        told: &dyn Fn(&[String]) -> Option<Conversion>,
    ) {
        let is_struct = matches!(self, Self::Struct(..));
        for inner in self.inner() {
            path.push(if is_struct {
                inner.field.name().clone()
            } else {
                ELEMENT.to_owned()
            });
            inner.conversion = told(path).unwrap_or(inner.declared);
            if let Some(nested) = inner.column.nested() {
                nested.convert(path, told);
            }
            path.pop();
        }
    }

    fn inner(&mut self) -> impl Iterator<Item = &mut Inner> {
        let (fields, one) = match self {
            Self::Struct(fields, _) => (fields.as_mut_slice(), None),
            Self::List(one, _) | Self::Map { values: one, .. } => {
                (&mut [] as &mut [Inner], Some(one))
            }
        };
        fields.iter_mut().chain(one)
    }

    fn len(&self) -> usize {
        match self {
            Self::Struct(_, len) => *len,
            Self::List(_, ends) | Self::Map { ends, .. } => ends.len(),
        }
    }

    /// Appends a value that is not null; on a fault nothing is appended.
    ///
    /// # Errors
    /// Why it is no value of the column's type.
    pub fn push<'a>(&mut self, value: impl Value<'a>) -> Result<(), Fault> {
        let len = self.len();
        let pushed = match self {
            Self::Struct(fields, _) => push_struct(fields, len, value),
            Self::List(elements, ends) => push_list(elements, ends, value),
            Self::Map {
                keys, values, ends, ..
            } => push_map((keys, values), ends, value),
        };
        match &pushed {
            Ok(()) => {
                if let Self::Struct(_, len) = self {
                    *len += 1;
                }
            }
            Err(_) => self.truncate(len),
        }
        pushed
    }

    /// Appends what stands under a null.
    pub fn push_null(&mut self) {
        match self {
            Self::Struct(fields, len) => {
                fields.iter_mut().for_each(|field| field.column.push_null());
                *len += 1;
            }
            Self::List(_, ends) | Self::Map { ends, .. } => ends.push(last(ends)),
        }
    }

    /// Cuts the column back to `rows` values, if it has more.
    pub fn truncate(&mut self, rows: usize) {
        match self {
            Self::Struct(fields, len) => {
                fields
                    .iter_mut()
                    .for_each(|field| field.column.truncate(rows));
                *len = rows.min(*len);
            }
            Self::List(elements, ends) => {
                ends.truncate(rows);
                elements.column.truncate(last(ends) as usize);
            }
            Self::Map {
                keys, values, ends, ..
            } => {
                ends.truncate(rows);
                keys.truncate(last(ends) as usize);
                values.column.truncate(last(ends) as usize);
            }
        }
    }

    /// The values as an array; the column is empty again.
    pub fn finish(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        match self {
            Self::Struct(fields, len) => {
                let names: Fields = fields.iter().map(|of| Arc::clone(&of.field)).collect();
                let columns = fields.iter_mut().map(|field| field.column.finish());
                let columns = columns.collect();
                *len = 0;
                Arc::new(StructArray::new(names, columns, nulls))
            }
            Self::List(elements, ends) => {
                let offsets = offsets(std::mem::take(ends));
                let field = Arc::clone(&elements.field);
                let elements = elements.column.finish();
                Arc::new(ListArray::new(field, offsets, elements, nulls))
            }
            Self::Map {
                entries,
                keys,
                values,
                ends,
            } => {
                let DataType::Struct(entry) = entries.data_type() else {
                    unreachable!("a column of maps is only made of a type that has entries");
                };
                let columns = vec![keys.finish(), values.column.finish()];
                let content = StructArray::new(entry.clone(), columns, None);
                let offsets = offsets(std::mem::take(ends));
                let entries = Arc::clone(entries);
                Arc::new(MapArray::new(entries, offsets, content, nulls, false))
            }
        }
    }
}

impl Inner {
    fn new(field: &FieldRef) -> Option<Self> {
        Some(Self {
            field: Arc::clone(field),
            column: ColumnBuffer::new(field.data_type())?,
            declared: Conversion::Usual,
            conversion: Conversion::Usual,
        })
    }

    /// Appends a value, of which `step` says where it lies.
    #[inline]
    fn push<'a>(
        &mut self,
        value: impl Value<'a>,
        step: impl FnOnce() -> String,
    ) -> Result<(), Fault> {
        if value.is_null() {
            self.column.push_null();
            return Ok(());
        }
        value
            .push(&mut self.column, self.conversion)
            .map_err(|fault| fault.within(&step(), self.field.data_type(), &value.shown()))
    }
}

/// Key and value of a map's entry.
fn entry(entries: &FieldRef) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(entry) => match &**entry {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    }
}

fn last(ends: &[i32]) -> i32 {
    ends.last().copied().unwrap_or(0)
}

fn end(column: &ColumnBuffer) -> i32 {
    i32::try_from(column.len()).expect("a source bounds its batches far below 2 GiB")
}

fn push_struct<'a>(fields: &mut [Inner], len: usize, value: impl Value<'a>) -> Result<(), Fault> {
    // Producers write the members of one kind of object in one order.
    let mut next = 0;
    value.members(&mut |name, value| {
        let is = |field: &Inner| *field.field.name() == *name;
        if !fields.get(next).is_some_and(is) {
            let Some(place) = fields.iter().position(is) else {
                return Ok(());
            };
            next = place;
        }
        let field = &mut fields[next];
        next += 1;
        if field.column.len() > len {
            field.column.truncate(len);
        }
        field.push(value, || format!(".{name}"))
    })?;
    for field in fields.iter_mut().filter(|field| field.column.len() == len) {
        field.column.push_null();
    }
    Ok(())
}

fn push_list<'a>(
    elements: &mut Inner,
    ends: &mut Vec<i32>,
    value: impl Value<'a>,
) -> Result<(), Fault> {
    let mut number = 0;
    value.items(&mut |item| {
        number += 1;
        elements.push(item, || format!("[{number}]"))
    })?;
    ends.push(end(&elements.column));
    Ok(())
}

fn push_map<'a, V: Value<'a>>(
    (keys, values): (&mut ColumnBuffer, &mut Inner),
    ends: &mut Vec<i32>,
    value: V,
) -> Result<(), Fault> {
    let mut entries: Vec<(String, V)> = Vec::new();
    value.members(&mut |name, value| {
        entries.push((name.to_owned(), value));
        Ok(())
    })?;
    // Of entries with one key the order stays, and the last one counts.
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    for (i, (key, value)) in entries.iter().enumerate() {
        if entries.get(i + 1).is_some_and(|(next, _)| next == key) {
            continue;
        }
        keys.push_text(key);
        values.push(*value, || format!(".{}", reason::excerpt(key)))?;
    }
    ends.push(end(keys));
    Ok(())
}
