//! Records of random types with random values, as apache-avro writes them.

use std::collections::HashMap;

use apache_avro::Decimal;
use apache_avro::types::Value as Avro;
use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use proptest::prelude::*;
use serde_json::{Value, json};
use tidemill_formats::temporal;

use super::super::kit::{TIMESTAMP, UUID, at, reasons};
use super::{source, text, written};

/// A field: its type, a value of it as apache-avro has it, and the column that it is read as, with its text.
#[derive(Debug, Clone)]
struct Sample {
    schema: Value,
    value: Avro,
    data_type: DataType,
    text: Option<String>,
}

impl Sample {
    fn new(schema: Value, value: Avro, data_type: DataType, text: &impl ToString) -> Self {
        Self {
            schema,
            value,
            data_type,
            text: Some(text.to_string()),
        }
    }
}

fn logical(of: &str, means: &str) -> Value {
    json!({"type": of, "logicalType": means})
}

/// As Arrow shows it.
fn timestamp(ms: i64) -> String {
    let mut text = Vec::new();
    temporal::write_timestamp(ms, &mut text);
    let text = String::from_utf8(text).unwrap();
    let text = text.trim_end_matches('Z');
    text.strip_suffix(".000").unwrap_or(text).to_owned()
}

fn numbers() -> impl Strategy<Value = Sample> {
    prop_oneof![
        any::<i32>().prop_map(|v| Sample::new(json!("int"), Avro::Int(v), DataType::Int32, &v)),
        any::<i64>().prop_map(|v| {
            Sample::new(json!({"type": "long"}), Avro::Long(v), DataType::Int64, &v)
        }),
        any::<f64>()
            .prop_filter("a column has finite numbers", |v| v.is_finite())
            .prop_map(|v| {
                let text = format!("{v:?}");
                Sample::new(json!("double"), Avro::Double(v), DataType::Float64, &text)
            }),
        any::<i64>().prop_map(|v| {
            let schema =
                json!({"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3});
            let value = Avro::Decimal(Decimal::from(v.to_be_bytes().to_vec()));
            let (sign, v) = (if v < 0 { "-" } else { "" }, v.unsigned_abs());
            let text = format!("{sign}{}.{:03}", v / 1_000, v % 1_000);
            Sample::new(schema, value, DataType::Decimal128(20, 3), &text)
        }),
    ]
}

fn times() -> impl Strategy<Value = Sample> {
    let millis = temporal::FIRST_MS..=temporal::LAST_MS;
    prop_oneof![
        (-719_162..2_932_896).prop_map(|v| {
            let day = timestamp(i64::from(v) * temporal::MS_PER_DAY);
            let day = day.split('T').next().unwrap();
            Sample::new(
                logical("int", "date"),
                Avro::Date(v),
                DataType::Date32,
                &day,
            )
        }),
        millis.clone().prop_map(|ms| {
            let schema = logical("long", "timestamp-millis");
            Sample::new(schema, Avro::TimestampMillis(ms), TIMESTAMP, &timestamp(ms))
        }),
        (millis, 0..1_000_i64).prop_map(|(ms, us)| {
            let schema = logical("long", "local-timestamp-micros");
            let value = Avro::LocalTimestampMicros(ms * 1_000 + us);
            Sample::new(schema, value, TIMESTAMP, &timestamp(ms))
        }),
    ]
}

fn texts() -> impl Strategy<Value = Sample> {
    prop_oneof![
        "\\PC*".prop_map(|v| Sample::new(json!("string"), text(&v), DataType::Utf8, &v)),
        any::<u128>().prop_map(|v| {
            let uuid = uuid::Uuid::from_u128(v);
            Sample::new(
                logical("string", "uuid"),
                Avro::Uuid(uuid),
                UUID,
                &uuid.simple(),
            )
        }),
        (0..3_u32).prop_map(|v| {
            let symbol = ["a", "b", "c"][v as usize];
            let schema = json!({"type": "enum", "name": "NAME", "symbols": ["a", "b", "c"]});
            Sample::new(
                schema,
                Avro::Enum(v, symbol.to_owned()),
                DataType::Utf8,
                &symbol,
            )
        }),
    ]
}

fn wholes() -> impl Strategy<Value = Sample> {
    prop_oneof![
        prop::collection::vec(any::<i64>(), 0..5).prop_map(|v| {
            let items = Avro::Array(v.iter().map(|&v| Avro::Long(v)).collect());
            let text = serde_json::to_string(&v).unwrap();
            let schema = json!({"type": "array", "items": "long"});
            Sample::new(schema, items, DataType::Utf8, &text)
        }),
        prop::option::of("[a-z]{3}").prop_map(|v| {
            let text = v
                .as_ref()
                .map_or("{}".to_owned(), |v| format!(r#"{{"{v}":true}}"#));
            let entries = v.into_iter().map(|v| (v, Avro::Boolean(true)));
            let entries = Avro::Map(entries.collect::<HashMap<_, _>>());
            let schema = json!({"type": "map", "values": "boolean"});
            Sample::new(schema, entries, DataType::Utf8, &text)
        }),
        any::<bool>().prop_map(|v| {
            Sample::new(json!("boolean"), Avro::Boolean(v), DataType::Boolean, &v)
        }),
    ]
}

/// A value, or one that may be null and is or is not.
fn samples() -> impl Strategy<Value = Sample> {
    let of = prop_oneof![numbers(), times(), texts(), wholes()];
    (of, 0..4_u32, any::<bool>()).prop_map(|(of, null, is_null)| {
        // Else it may not be null.
        if null > 1 {
            return of;
        }
        let mut branches = [json!("null"), of.schema.clone()];
        if null == 1 {
            branches.reverse();
        }
        let (value, text) = if is_null {
            (Avro::Union(null, Box::new(Avro::Null)), None)
        } else {
            (Avro::Union(1 - null, Box::new(of.value)), of.text)
        };
        Sample {
            schema: json!(branches),
            value,
            data_type: of.data_type,
            text,
        }
    })
}

/// The fields of a record, and their values; enums have names of their own.
fn fields(samples: &[Sample], prefix: &str) -> (Vec<Value>, Vec<(String, Avro)>) {
    let field = |(i, of): (usize, &Sample)| {
        let name = format!("{prefix}{i}");
        let schema = of.schema.to_string();
        let schema = schema.replace("NAME", &format!("Enum_{name}"));
        let schema: Value = serde_json::from_str(&schema).unwrap();
        (
            json!({"name": name, "type": schema}),
            (name, of.value.clone()),
        )
    };
    samples.iter().enumerate().map(field).unzip()
}

/// The same text, or the same number.
fn is_same(of: &Sample, found: Option<&str>) -> bool {
    let number = |text: &str| text.parse::<f64>().unwrap().to_bits();
    match (&of.data_type, of.text.as_deref(), found) {
        (DataType::Float64, Some(expected), Some(found)) => number(expected) == number(found),
        (_, expected, found) => expected == found,
    }
}

proptest! {
    #[test]
    fn what_apache_avro_writes_is_read_as_it_was(
        outer in prop::collection::vec(samples(), 1..6),
        inner in prop::collection::vec(samples(), 1..6),
        is_read in prop::collection::vec(any::<bool>(), 12),
        cut in 0_usize..1_000,
    ) {
        let (mut schemas, mut values) = fields(&outer, "o");
        let (inner_schemas, inner_values) = fields(&inner, "i");
        let of_inner = json!({"type": "record", "name": "In", "fields": inner_schemas});
        schemas.insert(0, json!({"name": "in", "type": of_inner}));
        values.insert(0, ("in".to_owned(), Avro::Record(inner_values)));
        let schema = json!({"type": "record", "name": "Out", "namespace": "n", "fields": schemas});
        let schema = schema.to_string();
        let bytes = written(&schema, Avro::Record(values));
        let outer = (0..).zip(&outer).map(|(i, of)| (format!("o{i}"), of));
        let inner = (0..).zip(&inner).map(|(i, of)| (format!("in.i{i}"), of));
        let chosen: Vec<_> = outer.chain(inner).zip(&is_read).filter(|(_, is_read)| **is_read).collect();
        let columns = chosen.iter().map(|((path, of), _)| at(path, path, of.data_type.clone()));
        let spec = source(&schema, columns.collect());
        let decoded = spec.decode(&[&bytes]);
        prop_assert_eq!(reasons(&decoded), [""; 0]);
        for (i, ((path, of), _)) in chosen.iter().enumerate() {
            let column = decoded.rows.column(i);
            let found = (!column.is_null(0)).then(|| array_value_to_string(column, 0).unwrap());
            prop_assert!(is_same(of, found.as_deref()), "{}: {:?} is read as {:?}", path, of, found);
        }
        // Whatever is missing, the record is refused.
        let cut = cut % bytes.len();
        prop_assert_eq!(spec.decode(&[&bytes[..cut]]).rows.num_rows(), 0);
    }
}
