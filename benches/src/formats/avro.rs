//! The payment in Avro, as the library writes and reads it.

use std::cell::OnceCell;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

/// The schema of a payment: ten fields, half of which may be null.
pub const SCHEMA: &str = r#"{"type": "record", "name": "Payment", "fields": [
    {"name": "id", "type": "long"},
    {"name": "production_id", "type": "long"},
    {"name": "budget_id", "type": "long"},
    {"name": "talent_id", "type": ["null", "long"]},
    {"name": "amount", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2}]},
    {"name": "currency", "type": ["null", "string"]},
    {"name": "due_on", "type": ["null", {"type": "int", "logicalType": "date"}]},
    {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["planned", "paid"]}},
    {"name": "note", "type": ["null", "string"]},
    {"name": "updated_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;

thread_local! {
    /// Parsed once, as a reader of the library borrows it.
    static PARSED: OnceCell<Schema> = const { OnceCell::new() };
}

fn with_schema<T>(use_it: impl FnOnce(&Schema) -> T) -> T {
    PARSED.with(|parsed| {
        use_it(parsed.get_or_init(|| Schema::parse_str(SCHEMA).expect("the schema above is valid")))
    })
}

/// The ten fields of a payment.
pub fn payment(i: usize) -> Vec<u8> {
    let number = |of: usize| i64::try_from(of).unwrap_or_default();
    let some = |value: Value| Value::Union(1, Box::new(value));
    let unscaled = number((10_000 + i % 900_000) * 100 + i % 100);
    let amount = unscaled.to_be_bytes()[3..].to_vec();
    let note = format!("second instalment, see contract {i:08}, to be approved");
    let day = i32::try_from(20_454 + i % 365).unwrap_or_default();
    let fields = [
        ("id", Value::Long(number(i))),
        ("production_id", Value::Long(number(100_000 + i % 500))),
        ("budget_id", Value::Long(number(200_000 + i % 3000))),
        ("talent_id", some(Value::Long(number(300_000 + i % 700)))),
        ("amount", some(Value::Decimal(amount.into()))),
        ("currency", some(Value::String("USD".to_owned()))),
        ("due_on", some(Value::Date(day))),
        ("status", Value::Enum(0, "planned".to_owned())),
        ("note", some(Value::String(note))),
        (
            "updated_at",
            Value::TimestampMillis(1_767_225_600_000 + number(i)),
        ),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    with_schema(|schema| {
        let writer = GenericDatumWriter::builder(schema).build();
        let writer = writer.expect("the schema has no references to others");
        writer
            .write_value_to_vec(Value::Record(fields.into()))
            .expect("the value is of the schema")
    })
}

/// All fields of a record, as the library reads them; it cannot leave some out. Something that depends on them.
pub fn count_fields(bytes: &[u8]) -> usize {
    with_schema(|schema| {
        let reader = GenericDatumReader::builder(schema).build();
        let read = reader.and_then(|reader| reader.read_value(&mut &*bytes));
        match read {
            Ok(Value::Record(fields)) => fields.len(),
            _ => 0,
        }
    })
}
