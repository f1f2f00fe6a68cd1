//! The columns that a contract has: the fields of the rows that its records carry.

use arrow_schema::{DataType, TimeUnit};
use tidemill_types::format::{Column, ColumnOrigin, Contract, Error, Path};
use tidemill_types::sql_type;

use super::class::Class;
use super::schema::{Schema, TypeId};
use crate::encoding::ELEMENT;

/// The columns of a contract in an envelope: a field each, nullable if it may be null.
///
/// # Errors
/// `Invalid` if the schema is none, or its records do not carry what the envelope says.
pub fn columns(contract: &Contract, envelope: &str) -> Result<Vec<Column>, Error> {
    let wrong = |reason: String| Error::Contract {
        contract: contract.to_string(),
        reason,
    };
    let schema = schema(contract)?;
    let root = schema.root();
    let row = match envelope {
        "plain" | "upsert" => schema.record(root),
        "debezium" => schema
            .member(root, "after")
            .and_then(|of| schema.record(of)),
        "crud" => schema.member(root, "data").and_then(|of| schema.record(of)),
        _ => None,
    };
    let fields = row.ok_or_else(|| {
        wrong(format!(
            "its records carry no row of the envelope '{envelope}'; name another envelope, or the columns"
        ))
    })?;
    let mut types = Types::new(&schema);
    let columns = fields.iter().map(|field| {
        let path = Path::member(&field.name);
        types.column(&field.name, field.kind, ColumnOrigin::Data(path))
    });
    let columns: Vec<_> = columns.collect();
    if columns.is_empty() {
        return Err(wrong("its rows have no field; name the columns".to_owned()));
    }
    Ok(columns)
}

/// The columns that a contract has of a key: the fields of its names, or the one column that a key is which is no record.
///
/// # Errors
/// `Invalid` if the schema is none.
pub fn key_columns(contract: &Contract, key: &[String]) -> Result<Vec<Column>, Error> {
    let schema = schema(contract)?;
    let root = schema.root();
    let mut types = Types::new(&schema);
    let mut column = |name: &str, id: TypeId| {
        let path = Path::member(name);
        types.column(name, id, ColumnOrigin::Key(path))
    };
    if let ([only], false) = (key, schema.is_of_records()) {
        return Ok(vec![column(only, root)]);
    }
    let fields = schema.record(root).unwrap_or_default().iter();
    let fields = fields.filter(|field| key.contains(&field.name));
    Ok(fields
        .map(|field| column(&field.name, field.kind))
        .collect())
}

/// The schema of a contract.
///
/// # Errors
/// `Invalid` if it is none.
pub fn schema(contract: &Contract) -> Result<Schema, Error> {
    let of = &contract.schema;
    let parsed = Schema::parse_with(&of.references, &of.text);
    parsed.map_err(|why| Error::Contract {
        contract: contract.to_string(),
        reason: format!("it is no Avro schema: {why}"),
    })
}

/// How many types the columns of a contract have at most, those within others counted: what would be more is text.
const TYPES_MAX: usize = 10_000;

/// Finds the types that hold all values of a schema's types; text where nothing else does.
struct Types<'s> {
    schema: &'s Schema,
    /// The records that the type lies in: one that lies in itself has no end.
    within: Vec<TypeId>,
    left: usize,
}

impl<'s> Types<'s> {
    const fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            within: Vec::new(),
            left: TYPES_MAX,
        }
    }

    /// The column of a field.
    fn column(&mut self, name: &str, id: TypeId, origin: ColumnOrigin) -> Column {
        Column {
            name: name.to_owned(),
            data_type: self.of(id),
            nullable: self.schema.is_nullable(id),
            origin,
        }
    }

    fn of(&mut self, id: TypeId) -> DataType {
        let text = DataType::Utf8;
        let Some(left) = self.left.checked_sub(1) else {
            return text;
        };
        self.left = left;
        match *self.schema.classes_of(id) {
            [Class::Boolean] => DataType::Boolean,
            [Class::Int] => DataType::Int32,
            [Class::Long] | [Class::Int, Class::Long] | [Class::Long, Class::Int] => {
                DataType::Int64
            }
            [Class::Floating] => DataType::Float64,
            [Class::Decimal { precision, scale }] => DataType::Decimal128(precision, scale),
            [Class::Date] => DataType::Date32,
            [Class::Time] => DataType::Timestamp(TimeUnit::Millisecond, None),
            [Class::Uuid] => DataType::FixedSizeBinary(16),
            [Class::Record] => self.structure(id).unwrap_or(text),
            [Class::Array] => self.element(id).map_or(text, sql_type::array),
            [Class::Map] => self.element(id).map_or(text, sql_type::map),
            _ => text,
        }
    }

    /// A record; none if it lies in itself or has no field.
    fn structure(&mut self, id: TypeId) -> Option<DataType> {
        let fields = self.schema.record(id)?;
        if fields.is_empty() || self.within.contains(&id) {
            return None;
        }
        self.within.push(id);
        let fields = fields.iter();
        let fields = fields.map(|field| (field.name.clone(), self.of(field.kind)));
        let structure = sql_type::structure(fields.collect::<Vec<_>>());
        self.within.pop();
        Some(structure)
    }

    fn element(&mut self, id: TypeId) -> Option<DataType> {
        let element = self.schema.member(id, ELEMENT)?;
        Some(self.of(element))
    }
}
