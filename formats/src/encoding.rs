//! What an encoding is to the decoder: bytes in, the values at the places that somebody wants out.

use std::borrow::Cow;

use tidemill_types::RawRecords;

use crate::column::ColumnBuffer;
use crate::fault::Fault;

/// Finds values in records.
pub trait Encoding: Send {
    /// A value, not looked at yet.
    type Value<'a>: Value<'a>;

    /// True if its values can have others in them.
    const IS_NESTED: bool;

    /// What values refer to beside the bytes of their record, such as the names in a schema; `()` if to nothing.
    type Schema;

    /// What the values of these records, which are read next, refer to.
    fn schema(&mut self, records: &RawRecords) -> Self::Schema;

    /// Finds the wanted values of a record; what is not in it stays as it is. False if the record is the encoding's null, which is as if it
    /// had no value.
    ///
    /// # Errors
    /// The reason, if the bytes are not of the encoding.
    fn read<'a>(
        &mut self,
        schema: &'a Self::Schema,
        bytes: &'a [u8],
        found: &mut Found<Self::Value<'a>>,
    ) -> Result<bool, String>;

    /// True once after records began to carry another schema: conversions are to be asked for again.
    fn has_new_schema(&mut self) -> bool {
        false
    }

    /// What the schema in the records says of the value at a path, in which a step without a name leads to the elements of an array or to
    /// the values of a map; none if it says nothing.
    fn conversion(&self, _path: &[String]) -> Option<Conversion> {
        None
    }
}

/// A value of a record.
pub trait Value<'a>: Copy {
    /// True for the encoding's null.
    fn is_null(self) -> bool;

    /// True for what can identify something: a number or a text.
    fn is_scalar(self) -> bool;

    /// True for a text that is not empty.
    fn is_named(self) -> bool {
        self.text().is_ok_and(|text| !text.is_empty())
    }

    /// Appends it, if it is not null, to a column of any type; on a fault nothing is appended.
    ///
    /// # Errors
    /// Why it is no value of the column's type.
    fn push(self, column: &mut ColumnBuffer, conversion: Conversion) -> Result<(), Fault>;

    /// Its text, if it is one.
    ///
    /// # Errors
    /// If it is none.
    fn text(self) -> Result<Cow<'a, str>, Fault>;

    /// A point in time, in milliseconds since 1970.
    ///
    /// # Errors
    /// If it is none, or beyond the years 1 to 9999.
    fn time_ms(self) -> Result<i64, Fault>;

    /// Hands over its members one by one, each with its name: those of an object, or the entries of a map. A name may come twice.
    ///
    /// # Errors
    /// If it has none, or what `each` returns.
    fn members(self, _each: &mut dyn FnMut(&str, Self) -> Result<(), Fault>) -> Result<(), Fault> {
        Err(Fault::WrongType)
    }

    /// Hands over its elements one by one.
    ///
    /// # Errors
    /// If it has none, or what `each` returns.
    fn items(self, _each: &mut dyn FnMut(Self) -> Result<(), Fault>) -> Result<(), Fault> {
        Err(Fault::WrongType)
    }

    /// It, in words.
    fn shown(self) -> Cow<'a, str>;
}

/// How the producer's value stands for the column's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conversion {
    /// As the encoding usually says it.
    #[default]
    Usual,
    /// The number of days since 1970-01-01, or an ISO 8601 text that may end in `Z`.
    Days,
    /// A boolean, or the number 0 or 1.
    ZeroOrOne,
    /// A number that counts so many to a millisecond, such as 1,000 microseconds.
    PerMillisecond(i64),
    /// The bytes of a whole number, big-endian in two's complement, of which so many digits are behind the point.
    Unscaled(i8),
}

/// The step of a path that leads to the items of an array or to the values of a map.
pub const ELEMENT: &str = "";

/// A path, as a person writes it.
pub fn path_shown(path: &[String]) -> String {
    let mut shown = String::new();
    for name in path {
        match name.as_str() {
            ELEMENT => shown.push_str("[]"),
            name if shown.is_empty() => shown.push_str(name),
            name => shown.extend([".", name]),
        }
    }
    shown
}

/// What is to be found in records.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    values: Vec<Vec<String>>,
    objects: Vec<Vec<String>>,
}

impl Wanted {
    /// The slot of a value; one for all who want the same.
    pub fn value(&mut self, path: &[String]) -> usize {
        place(&mut self.values, path)
    }

    /// The slot of what is known of a member that other wanted ones lie in.
    pub fn object(&mut self, path: &[String]) -> usize {
        place(&mut self.objects, path)
    }

    /// The same of a value that is no object and stands for its only member; none if more than one value is wanted.
    pub fn as_whole(&self) -> Option<Self> {
        (self.values.len() == 1).then(|| Self {
            values: vec![Vec::new()],
            objects: Vec::new(),
        })
    }

    /// The paths of values, by slot.
    pub fn values(&self) -> &[Vec<String>] {
        &self.values
    }

    /// The paths of objects, by slot.
    pub fn objects(&self) -> &[Vec<String>] {
        &self.objects
    }
}

fn place(paths: &mut Vec<Vec<String>>, path: &[String]) -> usize {
    let known = paths.iter().position(|known| known == path);
    known.unwrap_or_else(|| {
        paths.push(path.to_vec());
        paths.len() - 1
    })
}

/// What was found in a record.
#[derive(Debug)]
pub struct Found<V> {
    /// The values, by slot.
    pub values: Vec<Option<V>>,
    /// What the objects are, by slot.
    pub objects: Vec<Object>,
}

/// What a member is that others lie in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// Not there, or null.
    #[default]
    Absent,
    /// An object.
    Is,
    /// Something else, in words.
    Other(&'static str),
}

impl<V: Copy> Found<V> {
    /// Nothing found yet.
    pub fn new(values: usize, objects: usize) -> Self {
        Self {
            values: vec![None; values],
            objects: vec![Object::Absent; objects],
        }
    }

    /// Forgets a record.
    #[inline]
    pub fn clear(&mut self) {
        self.values.fill(None);
        self.objects.fill(Object::Absent);
    }
}
