//! SQL's types as Arrow has them: what those with others in them look like, and how each is called.
//!
//! Promises: one type of SQL is one type of Arrow, so that equal types compare as equal. In a value that has others in it each of them may be
//! null; the keys of a map are texts, and stand in their order, each once, so that equal maps have equal bytes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

/// `ARRAY<element>`.
#[must_use]
pub fn array(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

/// `MAP<VARCHAR, value>`.
#[must_use]
pub fn map(value: DataType) -> DataType {
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", value, true),
    ]);
    let entries = Field::new("entries", DataType::Struct(entry), false);
    DataType::Map(Arc::new(entries), false)
}

/// `STRUCT<name type, …>`.
#[must_use]
pub fn structure(fields: impl IntoIterator<Item = (String, DataType)>) -> DataType {
    let fields = fields.into_iter();
    DataType::Struct(
        fields
            .map(|(name, of)| Field::new(name, of, true))
            .collect(),
    )
}

/// The type of a map's values; none of another type.
#[must_use]
pub fn map_value(data_type: &DataType) -> Option<&DataType> {
    let DataType::Map(entries, _) = data_type else {
        return None;
    };
    match entries.data_type() {
        DataType::Struct(entry) => entry.get(1).map(|value| value.data_type()),
        _ => None,
    }
}

/// A type in SQL's words; one that SQL has no word for, in Arrow's.
#[must_use]
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "VARCHAR".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP".to_owned(),
        DataType::FixedSizeBinary(16) => "UUID".to_owned(),
        DataType::List(element) => format!("ARRAY<{}>", name(element.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|field| {
                let of = name(field.data_type());
                format!("{} {of}", identifier(field.name()))
            });
            format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::Map(..) => {
            let value = map_value(data_type).map_or_else(String::new, name);
            format!("MAP<VARCHAR, {value}>")
        }
        other => other.to_string(),
    }
}

/// A name as it is written in SQL: in quotes, if it could be read as another without.
#[must_use]
pub fn identifier(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_plain = text
        .bytes()
        .next()
        .is_some_and(|byte| !byte.is_ascii_digit());
    if begins_plain && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;

    use super::{array, map, name, structure};

    #[test]
    fn a_type_is_called_as_it_is_declared() {
        let item = structure([
            ("price".to_owned(), DataType::Decimal128(18, 2)),
            ("zipCode".to_owned(), DataType::Utf8),
            ("2nd".to_owned(), map(DataType::Int64)),
        ]);
        assert_eq!(
            name(&array(item)),
            "ARRAY<STRUCT<price DECIMAL(18, 2), \"zipCode\" VARCHAR, \"2nd\" MAP<VARCHAR, BIGINT>>>"
        );
    }
}
