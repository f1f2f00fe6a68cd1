//! The values of a column that have others in them: the parts of each as cells of their own, found once per batch.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::DataType;

use super::{Cells, write_text};
use crate::json;

/// Values with others in them, by type.
pub enum NestedCells<'a> {
    /// The fields, and what stands before each in an object.
    Struct(Vec<Cells<'a>>, Vec<Vec<u8>>),
    List(Cells<'a>, &'a OffsetBuffer<i32>),
    Map(&'a StringArray, Cells<'a>, &'a OffsetBuffer<i32>),
}

impl<'a> NestedCells<'a> {
    /// The values of an array of structs, lists, or maps whose keys are texts, if what lies in them has a form in JSON.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns().iter();
                let cells = columns.map(|column| Cells::of(column.as_ref()));
                let names = fields.iter().map(|field| field.name().as_str());
                Some(Self::Struct(
                    cells.collect::<Option<_>>()?,
                    json::prefixes(names),
                ))
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Some(Self::List(
                    Cells::of(list.values().as_ref())?,
                    list.offsets(),
                ))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let keys = map.keys().as_string_opt::<i32>()?;
                Some(Self::Map(
                    keys,
                    Cells::of(map.values().as_ref())?,
                    map.offsets(),
                ))
            }
            _ => None,
        }
    }

    /// Appends the value of a row, which is not null, as JSON.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Struct(cells, prefixes) => json::write_object(prefixes, cells, row, out),
            Self::List(elements, offsets) => {
                write_parts([b'[', b']'], part(offsets, row), out, |element, out| {
                    elements.write(element, out);
                });
            }
            Self::Map(keys, values, offsets) => {
                write_parts([b'{', b'}'], part(offsets, row), out, |entry, out| {
                    write_text(keys.value(entry), out);
                    out.push(b':');
                    values.write(entry, out);
                });
            }
        }
    }
}

/// Where the parts of a row's value lie among all parts.
pub fn part(offsets: &OffsetBuffer<i32>, row: usize) -> Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn write_parts(
    [open, close]: [u8; 2],
    parts: Range<usize>,
    out: &mut Vec<u8>,
    write: impl Fn(usize, &mut Vec<u8>),
) {
    out.push(open);
    for (i, part) in parts.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(part, out);
    }
    out.push(close);
}
