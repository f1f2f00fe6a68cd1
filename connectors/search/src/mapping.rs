//! The mapping of an index: what fields its documents have, from the columns of the sink.
//!
//! Promises that every column is found again exactly in the document's `_source`, whatever its field is; and by its field, but that numbers which
//! a field of numbers would round (`DECIMAL`, `BIGINT UNSIGNED`) are texts there, with a field `.number` for ranges and sums.

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Map, Value, json};
use tidemill_connectors_api::Error;

use crate::invalid;

/// Up to how many characters a text is a keyword as well: what fits into the 32,766 bytes of one in any language.
const KEYWORD_CHARS_MAX: u32 = 8_191;

/// The mapping for the columns of a sink. Members of documents that are no column are not indexed.
///
/// # Errors
/// `Invalid` if a column has a type that has no field.
pub fn mapping(schema: &Schema) -> Result<Value, Error> {
    let fields = schema.fields().iter().map(AsRef::as_ref);
    Ok(json!({"dynamic": false, "properties": properties(fields)?}))
}

fn properties<'a>(fields: impl Iterator<Item = &'a Field>) -> Result<Map<String, Value>, Error> {
    fields
        .map(|field| Ok((field.name().clone(), property(field)?)))
        .collect()
}

fn property(field: &Field) -> Result<Value, Error> {
    let of_type = |name: &str| Ok(json!({ "type": name }));
    match field.data_type() {
        DataType::Boolean => of_type("boolean"),
        DataType::Int8 => of_type("byte"),
        DataType::Int16 | DataType::UInt8 => of_type("short"),
        DataType::Int32 | DataType::UInt16 => of_type("integer"),
        DataType::Int64 | DataType::UInt32 => of_type("long"),
        DataType::Float32 => of_type("float"),
        DataType::Float64 => of_type("double"),
        DataType::UInt64 | DataType::Decimal128(..) => {
            Ok(json!({"type": "keyword", "fields": {"number": {"type": "double"}}}))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(json!({
            "type": "text",
            "fields": {"keyword": {"type": "keyword", "ignore_above": KEYWORD_CHARS_MAX}},
        })),
        DataType::Date32 | DataType::Timestamp(TimeUnit::Millisecond, None) => {
            Ok(json!({"type": "date", "format": "strict_date_optional_time"}))
        }
        DataType::FixedSizeBinary(16) => of_type("keyword"),
        DataType::Binary => of_type("binary"),
        // Its elements are the values of one field.
        DataType::List(element) => property(element),
        DataType::Struct(fields) => {
            Ok(json!({"properties": properties(fields.iter().map(AsRef::as_ref))?}))
        }
        // Its keys would be fields, as many as there are.
        DataType::Map(..) | DataType::Null => Ok(json!({"type": "object", "enabled": false})),
        other => Err(invalid(format!(
            "column '{}' has the type {other}, which no field of an index has; CAST it to another",
            field.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use serde_json::json;

    use super::mapping;

    #[test]
    fn every_type_has_a_field_that_loses_nothing() {
        let element = Field::new_list_field(DataType::Decimal128(18, 2), true);
        let city = Field::new("city", DataType::Utf8, true);
        let entries = Field::new_struct(
            "entries",
            vec![
                Field::new("keys", DataType::Utf8, false),
                Field::new("values", DataType::Int64, true),
            ],
            false,
        );
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("prices", DataType::List(Arc::new(element)), true),
            Field::new("address", DataType::Struct(vec![city].into()), true),
            Field::new("counts", DataType::Map(Arc::new(entries), false), true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("seen", DataType::Boolean, true),
        ]);
        let text = json!({"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 8191}}});
        assert_eq!(
            mapping(&schema).unwrap(),
            json!({"dynamic": false, "properties": {
                "id": {"type": "long"},
                "prices": {"type": "keyword", "fields": {"number": {"type": "double"}}},
                "address": {"properties": {"city": text}},
                "counts": {"type": "object", "enabled": false},
                "at": {"type": "date", "format": "strict_date_optional_time"},
                "seen": {"type": "boolean"},
            }})
        );
    }

    #[test]
    fn a_type_without_a_field_is_refused_by_its_column() {
        let schema = Schema::new(vec![Field::new("span", DataType::Date64, true)]);
        let said = mapping(&schema).unwrap_err().message;
        assert!(
            said.starts_with("column 'span'") && said.contains("CAST"),
            "{said}"
        );
    }
}
