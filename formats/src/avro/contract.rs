//! The columns that a contract has: the fields of the rows that its records carry.

use arrow_schema::{DataType, TimeUnit};
use tidemill_types::format::{Column, ColumnOrigin, Contract, Error, Path};

use super::class::Class;
use super::schema::Schema;

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
    let columns = fields.iter().map(|field| Column {
        name: field.name.clone(),
        data_type: column_type(&schema.classes_of(field.kind)),
        nullable: schema.is_nullable(field.kind),
        origin: ColumnOrigin::Data(Path::member(&field.name)),
    });
    let columns: Vec<_> = columns.collect();
    if columns.is_empty() {
        return Err(wrong("its rows have no field; name the columns".to_owned()));
    }
    Ok(columns)
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

/// The type that holds all values of some classes; text where nothing else does.
fn column_type(classes: &[Class]) -> DataType {
    match classes {
        [Class::Boolean] => DataType::Boolean,
        [Class::Int] => DataType::Int32,
        [Class::Long] | [Class::Int, Class::Long] | [Class::Long, Class::Int] => DataType::Int64,
        [Class::Floating] => DataType::Float64,
        &[Class::Decimal { precision, scale }] => DataType::Decimal128(precision, scale),
        [Class::Date] => DataType::Date32,
        [Class::Time] => DataType::Timestamp(TimeUnit::Millisecond, None),
        [Class::Uuid] => DataType::FixedSizeBinary(16),
        _ => DataType::Utf8,
    }
}
