//! The text of every type, and that it reads back as the same value.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
    StringViewArray, TimestampMillisecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Schema, TimeUnit};
use proptest::prelude::*;

use tidemill_formats::Json;
use tidemill_types::format::{Change, Encoder, Error, Format, Options, SinkMetadata, SinkSpec};
use tidemill_types::{ErrorKind, OutputRecords};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn encoder(envelope: &str, schema: &Schema, key: &[&str]) -> Result<Box<dyn Encoder>, Error> {
    let key: Vec<_> = key.iter().map(|&name| name.to_owned()).collect();
    Json.encoder(&SinkSpec {
        envelope,
        schema,
        key: &key,
        metadata: None,
        contract: None,
        key_contract: None,
        options: &Options::new(),
    })
}

/// The headers of each row of one column, and its time of another.
fn beside(value: ArrayRef, time: Option<ArrayRef>) -> Vec<(Vec<String>, Option<i64>)> {
    let rows = value.len();
    let rows = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![7; value.len()]))),
        ("x", value),
        (
            "at",
            time.clone()
                .unwrap_or_else(|| Arc::new(NullArray::new(rows))),
        ),
    ]);
    let field = |name: &str| rows.schema().field_with_name(name).unwrap().clone();
    let metadata = SinkMetadata {
        headers: vec![field("x")],
        timestamp: time.map(|_| field("at")),
    };
    let encoder = Json
        .encoder(&SinkSpec {
            envelope: "plain",
            schema: &Schema::new(vec![field("id")]),
            key: &[],
            metadata: Some(&metadata),
            contract: None,
            key_contract: None,
            options: &Options::new(),
        })
        .unwrap();
    assert!(encoder.has_metadata());
    let bound = encoder.bind(&rows, 0).unwrap();
    let of_row = |row| {
        let mut value = Vec::new();
        assert!(bound.write_value(Change::Insert(row), &mut value));
        assert_eq!(value, b"{\"id\":7}");
        let mut records = OutputRecords::default();
        records.push(b"", Some(&value));
        records.push_metadata(bound.timestamp_ms(row), |out| bound.write_headers(row, out));
        let record = records.iter().next().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let header = |(name, value): (&[u8], Option<&[u8]>)| {
            format!("{}={}", text(name), text(value.unwrap()))
        };
        (record.headers.map(header).collect(), record.timestamp_ms)
    };
    (0..rows.num_rows()).map(of_row).collect()
}

/// The value of a change; none is a tombstone.
fn value(envelope: &str, rows: &RecordBatch, change: Change) -> Option<String> {
    let encoder = encoder(envelope, &rows.schema(), &[]).unwrap();
    let mut out = Vec::new();
    let has_value = encoder
        .bind(rows, 1_767_225_600_000)
        .unwrap()
        .write_value(change, &mut out);
    has_value.then(|| String::from_utf8(out).unwrap())
}

fn encode(rows: &RecordBatch) -> Vec<String> {
    let rows_of = (0..rows.num_rows()).map(Change::Insert);
    rows_of
        .map(|change| value("plain", rows, change).unwrap())
        .collect()
}

fn keys(key: &[&str], rows: &RecordBatch) -> Vec<String> {
    let encoder = encoder("upsert", &rows.schema(), key).unwrap();
    let bound = encoder.bind(rows, 0).unwrap();
    let key = |row| {
        let mut out = Vec::new();
        bound.write_key(row, &mut out);
        String::from_utf8(out).unwrap()
    };
    (0..rows.num_rows()).map(key).collect()
}

/// The texts of the values of one column.
fn values(array: impl arrow_array::Array + 'static) -> Vec<String> {
    let texts = encode(&batch(vec![("x", Arc::new(array))]));
    texts
        .iter()
        .map(|text| {
            text.strip_prefix("{\"x\":")
                .and_then(|text| text.strip_suffix('}'))
                .expect("one member")
                .to_owned()
        })
        .collect()
}

#[test]
fn a_header_is_the_text_of_its_column_without_quotes_and_null_is_no_header() {
    let headers = |array: ArrayRef| -> Vec<String> {
        let of_rows = beside(array, None).into_iter();
        of_rows.map(|(headers, _)| headers.join(" ")).collect()
    };
    let texts = StringArray::from(vec![Some("a \"b\"\\"), Some(""), None, Some("null")]);
    let texts = headers(Arc::new(texts));
    assert_eq!(texts, ["x=a \"b\"\\", "x=", "", "x=null"]);
    let money = Decimal128Array::from(vec![Some(1250), None])
        .with_precision_and_scale(12, 2)
        .unwrap();
    assert_eq!(headers(Arc::new(money)), ["x=12.50", ""]);
    let numbers = Float64Array::from(vec![0.5, f64::NAN]);
    assert_eq!(headers(Arc::new(numbers)), ["x=0.5", ""]);
    let bytes = BinaryArray::from(vec![&b"\xff"[..]]);
    assert_eq!(headers(Arc::new(bytes)), ["x=/w=="]);
}

#[test]
fn the_time_of_a_record_is_that_of_its_column() {
    let times = TimestampMillisecondArray::from(vec![Some(1_767_225_600_123), None]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let times: Vec<_> = beside(numbers, Some(Arc::new(times)))
        .into_iter()
        .map(|(_, time)| time)
        .collect();
    assert_eq!(times, [Some(1_767_225_600_123), None]);
}

#[test]
fn every_type_has_its_text() {
    assert_eq!(
        values(BooleanArray::from(vec![Some(true), Some(false), None])),
        ["true", "false", "null"]
    );
    assert_eq!(values(Int32Array::from(vec![i32::MIN])), ["-2147483648"]);
    assert_eq!(
        values(Int64Array::from(vec![Some(i64::MAX), None])),
        ["9223372036854775807", "null"]
    );
    assert_eq!(values(UInt8Array::from(vec![255])), ["255"]);
    assert_eq!(values(UInt32Array::from(vec![u32::MAX])), ["4294967295"]);
    assert_eq!(
        values(UInt64Array::from(vec![u64::MAX])),
        ["18446744073709551615"]
    );
    assert_eq!(
        values(Float64Array::from(vec![
            0.1,
            1.0,
            -0.0,
            f64::NAN,
            f64::INFINITY
        ])),
        ["0.1", "1.0", "-0.0", "null", "null"]
    );
    assert_eq!(values(Float32Array::from(vec![0.1])), ["0.1"]);
    let money = Decimal128Array::from(vec![12_345, -5, 0])
        .with_precision_and_scale(18, 2)
        .expect("valid");
    assert_eq!(values(money), [r#""123.45""#, r#""-0.05""#, r#""0.00""#]);
    assert_eq!(
        values(StringArray::from(vec!["US", "", "a\"b\\c\n\u{1}é/"])),
        [r#""US""#, r#""""#, r#""a\"b\\c\n\u0001é/""#]
    );
    assert_eq!(
        values(StringViewArray::from(vec!["a string too long for a view"])),
        [r#""a string too long for a view""#]
    );
    assert_eq!(
        values(Date32Array::from(vec![20_484, -1, i32::MAX])),
        [r#""2026-01-31""#, r#""1969-12-31""#, "null"]
    );
    assert_eq!(
        values(TimestampMillisecondArray::from(vec![
            1_769_860_800_123,
            -1,
            i64::MIN
        ])),
        [
            r#""2026-01-31T12:00:00.123Z""#,
            r#""1969-12-31T23:59:59.999Z""#,
            "null"
        ]
    );
    let uuid = uuid::Uuid::try_parse("0190f3a1-7b2c-7def-8123-456789abcdef").expect("valid");
    let uuids =
        FixedSizeBinaryArray::try_from_iter(std::iter::once(uuid.as_bytes())).expect("16 bytes");
    assert_eq!(values(uuids), [r#""0190f3a1-7b2c-7def-8123-456789abcdef""#]);
    assert_eq!(
        values(BinaryArray::from(vec![&b""[..], b"f", b"fo", b"foo"])),
        [r#""""#, r#""Zg==""#, r#""Zm8=""#, r#""Zm9v""#]
    );
    assert_eq!(values(NullArray::new(1)), ["null"]);
}

#[test]
fn a_row_is_an_object_with_all_columns_in_order() {
    let rows = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        (
            "a \"name\"",
            Arc::new(StringArray::from(vec![Some("x"), None])),
        ),
    ]);
    assert_eq!(
        encode(&rows),
        [
            r#"{"id":1,"a \"name\"":"x"}"#,
            r#"{"id":2,"a \"name\"":null}"#
        ]
    );
}

#[test]
fn a_key_of_one_column_is_bare_and_of_several_an_object() {
    let rows = batch(vec![
        ("unused", Arc::new(NullArray::new(2))),
        (
            "country",
            Arc::new(StringArray::from(vec![Some("US"), None])),
        ),
        ("id", Arc::new(Int64Array::from(vec![42, 43]))),
    ]);
    assert_eq!(keys(&["id"], &rows), ["42", "43"]);
    assert_eq!(keys(&["country"], &rows), [r#""US""#, "null"]);
    assert_eq!(
        keys(&["id", "country"], &rows),
        [r#"{"id":42,"country":"US"}"#, r#"{"id":43,"country":null}"#]
    );
}

#[test]
fn what_cannot_be_encoded_is_refused_with_the_column() {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let schema = Schema::new(vec![arrow_schema::Field::new("at", time, true)]);
    let error = encoder("plain", &schema, &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error
            .to_string()
            .starts_with("column 'at' has type Timestamp"),
        "{error}"
    );
    let numbers = batch(vec![("id", Arc::new(Int64Array::from(vec![42])))]);
    let error = encoder("upsert", &numbers.schema(), &["no"]).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the key column 'no' is not among the columns; name others in the option 'key'"
    );
    let texts = batch(vec![("id", Arc::new(StringArray::from(vec!["42"])))]);
    let encoder = encoder("upsert", &numbers.schema(), &["id"]).unwrap();
    let error = encoder.bind(&texts, 0).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Bug);
    assert_eq!(
        error.to_string(),
        "column 'id' should be Int64 in the rows to encode, and is Utf8; this is a defect, please report it"
    );
}

#[test]
fn each_envelope_says_in_its_way_what_happened_to_a_row() {
    let rows = batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2])))]);
    let update = Change::Update {
        before: 0,
        after: 1,
    };
    let of = |envelope, change| value(envelope, &rows, change);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(of("plain", Change::Insert(0)), text(r#"{"id":1}"#));
    assert_eq!(of("upsert", Change::Insert(0)), text(r#"{"id":1}"#));
    assert_eq!(of("upsert", update), text(r#"{"id":2}"#));
    assert_eq!(of("upsert", Change::Delete(0)), None);
    let debezium = |change: &str| text(&format!("{{{change},\"ts_ms\":1767225600000}}"));
    assert_eq!(
        of("debezium", Change::Insert(0)),
        debezium(r#""before":null,"after":{"id":1},"op":"c""#)
    );
    assert_eq!(
        of("debezium", update),
        debezium(r#""before":{"id":1},"after":{"id":2},"op":"u""#)
    );
    assert_eq!(
        of("debezium", Change::Delete(1)),
        debezium(r#""before":{"id":2},"after":null,"op":"d""#)
    );
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same_value(
        texts in prop::collection::vec(prop::option::of("\\PC*|[\\x00-\\x7f]*"), 1..8),
        number in any::<f64>(),
        integer in any::<i64>(),
    ) {
        let rows = texts.len();
        let encoded = encode(&batch(vec![
            ("text", Arc::new(StringArray::from(texts.clone()))),
            ("number", Arc::new(Float64Array::from(vec![number; rows]))),
            ("integer", Arc::new(Int64Array::from(vec![integer; rows]))),
        ]));
        prop_assert_eq!(encoded.len(), rows);
        for (encoded, text) in encoded.iter().zip(&texts) {
            let value: serde_json::Value = serde_json::from_str(encoded).expect("valid JSON");
            prop_assert_eq!(value["text"].as_str(), text.as_deref());
            prop_assert_eq!(value["integer"].as_i64(), Some(integer));
            if number.is_finite() {
                let start = encoded.find("\"number\":").expect("the member") + 9;
                let end = start + encoded[start..].find(',').expect("another member follows");
                prop_assert_eq!(encoded[start..end].parse::<f64>().expect("a number").to_bits(), number.to_bits());
            } else {
                prop_assert!(value["number"].is_null());
            }
        }
    }
}
