//! Schemas as their JSON says: types by number, so that a type can lie within itself, and what Kafka Connect adds to them.
//!
//! No library's: `apache-avro` drops the attributes of types that have no name, and by these (`connect.name`) Debezium says what its numbers
//! count; `arrow-avro` keeps its parser to itself. Aliases and documentation are not looked at: a record is read by its own schema.
//!
//! Source: the Avro specification, "Schema declaration"; the names of Kafka's `org.apache.kafka.connect.data` and of Debezium.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::encoding::ELEMENT;

/// The number of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeId(u32);

/// A schema.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// A type.
#[derive(Debug)]
pub enum Type {
    /// A value without others in it.
    Scalar(Scalar),
    /// One of these texts.
    Enum(Vec<String>),
    /// Items of a type.
    Array(TypeId),
    /// Texts with values of a type.
    Map(TypeId),
    /// A value of one of these types.
    Union(Vec<TypeId>),
    /// A value in each of these fields.
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: TypeId,
    /// What a reader takes where a writer had no such field.
    pub default: Option<Value>,
}

/// A type of values without others in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Nothing.
    Null,
    /// Yes or no.
    Boolean,
    /// A number of 32 bits.
    Int(Counts),
    /// A number of 64 bits.
    Long(Counts),
    /// A floating-point number of 32 bits.
    Float,
    /// A floating-point number of 64 bits.
    Double,
    /// Bytes with their length.
    Bytes,
    /// Bytes with their length, which are a number.
    Decimal(Digits),
    /// A text.
    Text,
    /// So many bytes.
    Fixed(usize),
    /// So many bytes, which are a number.
    FixedDecimal(usize, Digits),
    /// The sixteen bytes of a UUID.
    Uuid,
    /// How many digits are behind the point, then the bytes of the number (`io.debezium.data.VariableScaleDecimal`).
    VariableDecimal,
}

/// The digits of a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digits {
    /// How many there are at most.
    pub precision: u8,
    /// How many of them are behind the point.
    pub scale: i8,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// The schema does not say.
    Things,
    /// The days since 1970-01-01.
    Days,
    /// The time since 1970, in units of which so many are a millisecond.
    Time(u32),
}

/// The most digits that a DECIMAL has.
const PRECISION_MAX: u8 = 38;

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(json: &str) -> Result<Self, String> {
        Self::parse_with(&[], json)
    }

    /// Reads a schema that refers to others, which are named and in an order in which they can be read.
    ///
    /// # Errors
    /// What is wrong with it, or with one of them, in words.
    pub fn parse_with(references: &[(String, String)], json: &str) -> Result<Self, String> {
        let read = |text: &str| -> Result<Value, String> {
            serde_json::from_str(text).map_err(|error| error.to_string())
        };
        let mut parser = Parser::default();
        for (name, text) in references {
            let parsed = read(text).and_then(|json| parser.parse(&json, ""));
            parsed.map_err(|why| format!("in '{name}', which it refers to: {why}"))?;
        }
        let root = parser.parse(&read(json)?, "")?;
        let types = parser.types.into_iter();
        let types = types.map(|of| of.expect("every type is there once all are parsed"));
        Ok(Self {
            types: types.collect(),
            root,
        })
    }

    /// The type of its records.
    pub const fn root(&self) -> TypeId {
        self.root
    }

    /// A type of it.
    #[inline]
    pub fn get(&self, TypeId(id): TypeId) -> &Type {
        &self.types[id as usize]
    }

    /// True if some value of the type has a member at the path.
    pub fn has(&self, id: TypeId, path: &[String]) -> bool {
        let Some((name, rest)) = path.split_first() else {
            return true;
        };
        match self.get(id) {
            Type::Record(fields) => fields
                .iter()
                .any(|field| field.name == *name && self.has(field.kind, rest)),
            Type::Union(branches) => branches.iter().any(|&branch| self.has(branch, path)),
            Type::Array(of) | Type::Map(of) => name == ELEMENT && self.has(*of, rest),
            Type::Scalar(_) | Type::Enum(_) => false,
        }
    }

    /// True if its records are records, or nothing.
    pub fn is_of_records(&self) -> bool {
        let is_record = |id: &TypeId| matches!(self.get(*id), Type::Record(_));
        match self.get(self.root) {
            Type::Record(_) => true,
            Type::Union(branches) => branches.iter().any(is_record),
            Type::Scalar(_) | Type::Enum(_) | Type::Array(_) | Type::Map(_) => false,
        }
    }
}

/// The types so far; a record has its number before its fields are known.
#[derive(Default)]
struct Parser {
    types: Vec<Option<Type>>,
    named: HashMap<String, TypeId>,
}

impl Parser {
    fn reserve(&mut self) -> TypeId {
        self.types.push(None);
        TypeId(u32::try_from(self.types.len() - 1).expect("a schema has fewer than 2^32 types"))
    }

    fn add(&mut self, of: Type) -> TypeId {
        let id = self.reserve();
        self.types[id.0 as usize] = Some(of);
        id
    }

    /// The type that is written within a namespace.
    fn parse(&mut self, json: &Value, namespace: &str) -> Result<TypeId, String> {
        match json {
            Value::String(name) => self.by_name(name, &Map::new(), namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| match branch {
                    Value::Array(_) => Err("a union lies directly in a union".to_owned()),
                    branch => self.parse(branch, namespace),
                });
                let branches = branches.collect::<Result<_, _>>()?;
                Ok(self.add(Type::Union(branches)))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(name)) => self.by_name(name, object, namespace),
                Some(Value::Object(inner)) => self.parse(&Value::Object(inner.clone()), namespace),
                Some(_) => Err("a type that is no name".to_owned()),
                None => Err("an object without 'type'".to_owned()),
            },
            other => Err(format!("expected a type, found {other}")),
        }
    }

    /// The type of a name, with the attributes that stand beside it.
    fn by_name(
        &mut self,
        name: &str,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<TypeId, String> {
        if let Some(scalar) = scalar(name, object) {
            return Ok(self.add(Type::Scalar(scalar)));
        }
        let inner = |member: &str| {
            let inner = object.get(member);
            inner.ok_or_else(|| format!("a type '{name}' without '{member}'"))
        };
        match name {
            "array" => {
                let items = self.parse(inner("items")?, namespace)?;
                Ok(self.add(Type::Array(items)))
            }
            "map" => {
                let values = self.parse(inner("values")?, namespace)?;
                Ok(self.add(Type::Map(values)))
            }
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let symbols = inner("symbols")?.as_array();
                let symbols = symbols.and_then(|of| of.iter().map(text).collect());
                let symbols = symbols.ok_or("an enum whose 'symbols' are no texts")?;
                let (id, _) = self.named(object, namespace)?;
                self.types[id.0 as usize] = Some(Type::Enum(symbols));
                Ok(id)
            }
            "fixed" => {
                let fixed = fixed(object).ok_or("a fixed whose 'size' is no length")?;
                let (id, _) = self.named(object, namespace)?;
                self.types[id.0 as usize] = Some(Type::Scalar(fixed));
                Ok(id)
            }
            name => {
                let known = self.named.get(&full(name, namespace));
                let known = known.or_else(|| self.named.get(name));
                known
                    .copied()
                    .ok_or_else(|| format!("there is no type '{name}'"))
            }
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let (id, namespace) = self.named(object, namespace)?;
        let fields = object.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or("a record without 'fields'")?;
        let mut parsed = Vec::with_capacity(fields.len());
        for field in fields {
            let name = field.get("name").and_then(text);
            let name = name.ok_or("a field without 'name'")?;
            let kind = field.get("type");
            let kind = kind.ok_or_else(|| format!("a field '{name}' without 'type'"))?;
            let kind = self.parse(kind, &namespace)?;
            let default = field.get("default").cloned();
            parsed.push(Field {
                name,
                kind,
                default,
            });
        }
        let of = if self.is_variable_decimal(object, &parsed) {
            Type::Scalar(Scalar::VariableDecimal)
        } else {
            Type::Record(parsed)
        };
        self.types[id.0 as usize] = Some(of);
        Ok(id)
    }

    fn is_variable_decimal(&self, object: &Map<String, Value>, fields: &[Field]) -> bool {
        let is = |field: &Field, name: &str, scalar: Scalar| {
            let of = self.types[field.kind.0 as usize].as_ref();
            field.name == name && matches!(of, Some(Type::Scalar(of)) if *of == scalar)
        };
        connect_name(object) == "io.debezium.data.VariableScaleDecimal"
            && matches!(fields, [scale, value]
                if is(scale, "scale", Scalar::Int(Counts::Things)) && is(value, "value", Scalar::Bytes))
    }

    /// A number for a type that has a name, and the namespace that holds within it.
    fn named(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
    ) -> Result<(TypeId, String), String> {
        let name = object.get("name").and_then(text);
        let name = name.ok_or("a record, an enum or a fixed without 'name'")?;
        let namespace = object
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or(namespace);
        let full = full(&name, namespace);
        let within = full.rsplit_once('.').map_or("", |(within, _)| within);
        let within = within.to_owned();
        let id = self.reserve();
        match self.named.insert(full, id) {
            None => Ok((id, within)),
            Some(_) => Err(format!("there are two types '{name}'")),
        }
    }
}

fn text(json: &Value) -> Option<String> {
    json.as_str().map(str::to_owned)
}

/// A name with its namespace, unless it has one already.
fn full(name: &str, namespace: &str) -> String {
    if namespace.is_empty() || name.contains('.') {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// A type that needs no name, with what its attributes say of its values.
fn scalar(name: &str, object: &Map<String, Value>) -> Option<Scalar> {
    Some(match name {
        "null" => Scalar::Null,
        "boolean" => Scalar::Boolean,
        "int" => Scalar::Int(counts(object)),
        "long" => Scalar::Long(counts(object)),
        "float" => Scalar::Float,
        "double" => Scalar::Double,
        "bytes" => digits(object).map_or(Scalar::Bytes, Scalar::Decimal),
        // A UUID as a text is a text: the column's type says that it is one.
        "string" => Scalar::Text,
        _ => return None,
    })
}

fn fixed(object: &Map<String, Value>) -> Option<Scalar> {
    let size = usize::try_from(object.get("size")?.as_u64()?).ok()?;
    Some(match (digits(object), logical_type(object)) {
        (Some(digits), _) => Scalar::FixedDecimal(size, digits),
        (None, "uuid") if size == 16 => Scalar::Uuid,
        (None, _) => Scalar::Fixed(size),
    })
}

fn counts(object: &Map<String, Value>) -> Counts {
    match (logical_type(object), connect_name(object)) {
        ("date", _) | (_, "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date") => {
            Counts::Days
        }
        ("timestamp-millis" | "local-timestamp-millis", _)
        | (_, "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp") => {
            Counts::Time(1)
        }
        ("timestamp-micros" | "local-timestamp-micros", _)
        | (_, "io.debezium.time.MicroTimestamp") => Counts::Time(1_000),
        ("timestamp-nanos" | "local-timestamp-nanos", _)
        | (_, "io.debezium.time.NanoTimestamp") => Counts::Time(1_000_000),
        _ => Counts::Things,
    }
}

/// The digits of a decimal; none if it is none.
fn digits(object: &Map<String, Value>) -> Option<Digits> {
    let is_decimal = logical_type(object) == "decimal"
        || connect_name(object) == "org.apache.kafka.connect.data.Decimal";
    if !is_decimal {
        return None;
    }
    let told = object.get("scale").and_then(Value::as_i64);
    let of_connect = |name: &str| {
        let number = object.get("connect.parameters")?.get(name)?;
        number.as_str()?.parse::<i64>().ok()
    };
    let scale = told.or_else(|| of_connect("scale")).unwrap_or(0);
    let told = object.get("precision").and_then(Value::as_i64);
    let precision = told.or_else(|| of_connect("connect.decimal.precision"));
    let precision = precision.and_then(|digits| u8::try_from(digits).ok());
    Some(Digits {
        precision: precision.map_or(PRECISION_MAX, |digits| digits.clamp(1, PRECISION_MAX)),
        scale: i8::try_from(scale).ok()?,
    })
}

fn logical_type(object: &Map<String, Value>) -> &str {
    object
        .get("logicalType")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn connect_name(object: &Map<String, Value>) -> &str {
    object
        .get("connect.name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
