//! A schema with what is wanted of it: a walk through a record, once and from front to back, which takes the wanted values and steps over
//! the others.

use super::class::Preset;
use super::schema::{Scalar, Schema, Type, TypeId};
use super::value::{AvroValue, Nested};
use super::wire::{Broken, Cursor, Result};
use crate::encoding::{Found, Object, Wanted};

/// How the records of one schema are read.
#[derive(Debug)]
pub struct Program {
    schema: Schema,
    root: Node,
    /// By slot, what stands for a field that is not in the schema.
    presets: Vec<(usize, Preset)>,
    /// What the whole value is called, if it is no record.
    whole: Option<String>,
}

/// What becomes of a value.
#[derive(Debug)]
struct Node {
    step: Step,
    /// The slot that it is put into.
    value: Option<usize>,
    /// The slot of what is known of it, as others were wanted in it.
    object: Option<usize>,
}

#[derive(Debug)]
enum Step {
    /// Nobody wants it.
    SkipScalar(Scalar),
    /// Nobody wants it or what lies in it.
    Skip(TypeId),
    Scalar(Scalar),
    /// So many symbols, of the type.
    Enum(usize, TypeId),
    /// An array or a map, as a whole.
    Whole(TypeId, &'static str),
    Record(TypeId, Vec<Member>),
    Union(Vec<Node>),
}

#[derive(Debug)]
struct Member {
    name: String,
    node: Node,
}

/// What is wanted of a value: the rest of each path, and its slot.
#[derive(Debug, Default)]
struct Wants<'w> {
    values: Vec<(&'w [String], usize)>,
    objects: Vec<(&'w [String], usize)>,
}

impl Program {
    /// The program of a schema.
    pub fn new(schema: Schema, wanted: &Wanted) -> Self {
        let values = wanted.values().iter().map(Vec::as_slice);
        let objects = wanted.objects().iter().map(Vec::as_slice);
        let wants = Wants {
            values: values.zip(0..).collect(),
            objects: objects.zip(0..).collect(),
        };
        let root = node(&schema, schema.root(), &wants);
        Self {
            schema,
            root,
            presets: Vec::new(),
            whole: None,
        }
    }

    /// Of values that are the column of that name, if there is one.
    pub fn of_whole(self, column: Option<&str>) -> Self {
        Self {
            whole: column.map(str::to_owned),
            ..self
        }
    }

    /// With what stands for fields that are not in the schema, by slot.
    pub fn with_presets(self, presets: Vec<(usize, Preset)>) -> Self {
        Self { presets, ..self }
    }

    /// Takes the wanted values of a record whose Avro begins at a byte. False if it is null.
    #[inline]
    pub fn read<'a>(
        &'a self,
        record: &'a [u8],
        start: usize,
        found: &mut Found<AvroValue<'a>>,
    ) -> Result<bool> {
        let mut cursor = Cursor::new(record, start);
        let read = self.root.read(&self.schema, &mut cursor, found);
        let is_there = match &self.whole {
            None => read?,
            Some(column) => read.map_err(|broken| broken.within(column))?,
        };
        cursor.end()?;
        for (slot, preset) in &self.presets {
            found.values[*slot] = Some(preset.value());
        }
        Ok(is_there)
    }
}

impl<'w> Wants<'w> {
    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.objects.is_empty()
    }

    /// What is wanted of a field.
    fn of(&self, name: &str) -> Self {
        let within = |wants: &[(&'w [String], usize)]| {
            let inner = wants.iter().filter_map(|&(path, slot)| {
                let (first, rest) = path.split_first()?;
                (first == name).then_some((rest, slot))
            });
            inner.collect()
        };
        Self {
            values: within(&self.values),
            objects: within(&self.objects),
        }
    }
}

/// The slot of those whose path has come to its end.
fn here(wants: &[(&[String], usize)]) -> Option<usize> {
    let mut here = wants.iter().filter(|(path, _)| path.is_empty());
    here.next().map(|&(_, slot)| slot)
}

/// What becomes of the values of a type. Ends, as each record on the way shortens the paths, and no union lies directly in another.
fn node(schema: &Schema, id: TypeId, wants: &Wants<'_>) -> Node {
    let step = match schema.get(id) {
        &Type::Scalar(scalar) if wants.is_empty() => Step::SkipScalar(scalar),
        _ if wants.is_empty() => Step::Skip(id),
        &Type::Scalar(scalar) => Step::Scalar(scalar),
        Type::Enum(symbols) => Step::Enum(symbols.len(), id),
        Type::Array(_) => Step::Whole(id, "an array"),
        Type::Map(_) => Step::Whole(id, "a map"),
        Type::Record(fields) => {
            let member = fields.iter().map(|field| Member {
                name: field.name.clone(),
                node: node(schema, field.kind, &wants.of(&field.name)),
            });
            Step::Record(id, member.collect())
        }
        Type::Union(branches) => {
            let branches = branches.iter();
            Step::Union(branches.map(|&of| node(schema, of, wants)).collect())
        }
    };
    Node {
        step,
        value: here(&wants.values),
        object: here(&wants.objects),
    }
}

impl Node {
    /// False if the value is null.
    #[inline]
    fn read<'a>(
        &self,
        schema: &'a Schema,
        cursor: &mut Cursor<'a>,
        found: &mut Found<AvroValue<'a>>,
    ) -> Result<bool> {
        let start = cursor.at();
        let (value, is) = match &self.step {
            Step::SkipScalar(scalar) => {
                skip_scalar(*scalar, cursor)?;
                return Ok(true);
            }
            Step::Skip(id) => {
                skip(schema, *id, cursor)?;
                return Ok(true);
            }
            Step::Union(branches) => {
                let branch = cursor.choice(branches.len(), BRANCHES)?;
                return branches[branch].read(schema, cursor, found);
            }
            Step::Scalar(scalar) => scalar_value(*scalar, cursor)?,
            Step::Enum(symbols, id) => {
                let symbol = cursor.choice(*symbols, SYMBOLS)?;
                (symbol_value(schema, *id, symbol), STRING)
            }
            Step::Whole(id, what) => {
                skip(schema, *id, cursor)?;
                (nested(schema, *id, cursor, start), Object::Other(what))
            }
            Step::Record(id, members) => {
                for member in members {
                    let read = member.node.read(schema, cursor, found);
                    read.map_err(|broken| broken.within(&member.name))?;
                }
                (nested(schema, *id, cursor, start), Object::Is)
            }
        };
        if let Some(slot) = self.value {
            found.values[slot] = Some(value);
        }
        if let Some(slot) = self.object {
            found.objects[slot] = is;
        }
        Ok(is != Object::Absent)
    }
}

/// What a number chooses among, in reasons.
pub const BRANCHES: &str = "types of the union";
/// See [`BRANCHES`].
pub const SYMBOLS: &str = "symbols of the enum";
const STRING: Object = Object::Other("a string");
const NUMBER: Object = Object::Other("a number");
const BYTES: Object = Object::Other("bytes");

/// A value that is wanted as a whole, as its bytes.
#[inline]
pub fn nested<'a>(
    schema: &'a Schema,
    id: TypeId,
    cursor: &Cursor<'a>,
    start: usize,
) -> AvroValue<'a> {
    let bytes = cursor.since(start);
    AvroValue::Nested(Nested { schema, id, bytes })
}

/// The text of an enum.
pub fn symbol_value(schema: &Schema, id: TypeId, symbol: usize) -> AvroValue<'_> {
    match schema.get(id) {
        Type::Enum(symbols) => AvroValue::Text(&symbols[symbol]),
        _ => AvroValue::Null,
    }
}

/// The next value of a scalar type, and what it is in words.
#[inline]
pub fn scalar_value<'a>(
    scalar: Scalar,
    cursor: &mut Cursor<'a>,
) -> Result<(AvroValue<'a>, Object)> {
    Ok(match scalar {
        Scalar::Null => (AvroValue::Null, Object::Absent),
        Scalar::Boolean => {
            let is = Object::Other("a boolean");
            (AvroValue::Boolean(cursor.boolean()?), is)
        }
        Scalar::Int(counts) => (AvroValue::Number(cursor.int()?, counts), NUMBER),
        Scalar::Long(counts) => (AvroValue::Number(cursor.long()?, counts), NUMBER),
        Scalar::Float => {
            let float = f32::from_le_bytes(cursor.array()?);
            (AvroValue::Float(float), NUMBER)
        }
        Scalar::Double => {
            let double = f64::from_le_bytes(cursor.array()?);
            (AvroValue::Double(double), NUMBER)
        }
        Scalar::Bytes => (AvroValue::Bytes(cursor.bytes()?), BYTES),
        Scalar::Decimal(digits) => (AvroValue::Decimal(cursor.bytes()?, digits.scale), NUMBER),
        Scalar::Text => (AvroValue::Text(cursor.text()?), STRING),
        Scalar::Fixed(size) => (AvroValue::Bytes(cursor.take(size)?), BYTES),
        Scalar::FixedDecimal(size, digits) => {
            (AvroValue::Decimal(cursor.take(size)?, digits.scale), NUMBER)
        }
        Scalar::Uuid => (AvroValue::Uuid(cursor.array()?), STRING),
        Scalar::VariableDecimal => {
            let start = cursor.at();
            let scale = cursor.int()?;
            let scale = i8::try_from(scale)
                .map_err(|_| Cursor::broken(start, format!("a scale of {scale} digits")))?;
            (AvroValue::Decimal(cursor.bytes()?, scale), NUMBER)
        }
    })
}

/// Steps over a value of a scalar type. Whether a text is UTF-8 is not looked at.
#[inline]
fn skip_scalar(scalar: Scalar, cursor: &mut Cursor<'_>) -> Result<()> {
    match scalar {
        Scalar::Null => {}
        Scalar::Boolean => {
            cursor.boolean()?;
        }
        Scalar::Int(_) => {
            cursor.int()?;
        }
        Scalar::Long(_) => {
            cursor.long()?;
        }
        Scalar::Float => {
            cursor.take(size_of::<f32>())?;
        }
        Scalar::Double => {
            cursor.take(size_of::<f64>())?;
        }
        Scalar::Bytes | Scalar::Decimal(_) | Scalar::Text => {
            cursor.bytes()?;
        }
        Scalar::Fixed(size) | Scalar::FixedDecimal(size, _) => {
            cursor.take(size)?;
        }
        Scalar::Uuid => {
            cursor.take(16)?;
        }
        Scalar::VariableDecimal => {
            cursor.int()?;
            cursor.bytes()?;
        }
    }
    Ok(())
}

/// Steps over a value of any type.
pub fn skip(schema: &Schema, id: TypeId, cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.step()?;
    match schema.get(id) {
        Type::Scalar(scalar) => skip_scalar(*scalar, cursor),
        Type::Enum(symbols) => cursor.choice(symbols.len(), SYMBOLS).map(|_| ()),
        Type::Union(branches) => {
            let branch = cursor.choice(branches.len(), BRANCHES)?;
            skip(schema, branches[branch], cursor)
        }
        Type::Record(fields) => {
            cursor.enter()?;
            for field in fields {
                skip(schema, field.kind, cursor)
                    .map_err(|broken: Box<Broken>| broken.within(&field.name))?;
            }
            cursor.leave();
            Ok(())
        }
        Type::Array(items) => skip_blocks(cursor, |cursor| skip(schema, *items, cursor)),
        Type::Map(values) => skip_blocks(cursor, |cursor| {
            cursor.bytes()?;
            skip(schema, *values, cursor)
        }),
    }
}

/// Steps over the items of an array or a map; over a whole block at once where its writer says how long it is.
fn skip_blocks<'a>(
    cursor: &mut Cursor<'a>,
    mut skip_item: impl FnMut(&mut Cursor<'a>) -> Result<()>,
) -> Result<()> {
    cursor.enter()?;
    while let Some(block) = cursor.block()? {
        if let Some(bytes) = block.bytes {
            cursor.take(bytes)?;
            continue;
        }
        for _ in 0..block.items {
            skip_item(cursor)?;
        }
    }
    cursor.leave();
    Ok(())
}
