//! What is refused, and the exact reason.

use arrow_schema::DataType;
use tidemill_types::dead_letter::{Header, Stage};

use super::crud::{reason, update};
use super::kit::{Spec, TIMESTAMP, data, decode, keyed};

/// Records that are no JSON object.
#[rustfmt::skip]
const BROKEN: &[(&[u8], &str)] = &[
    (b"", "empty record: expected a JSON object"),
    (b"{\"uuid\": \"\xff\"}", "invalid UTF-8 at byte 10"),
    (b"[1, 2]", "not a JSON object: found [1, 2]"),
    (b" 42", "not a JSON object: found 42"),
    (b"null", "empty record: it has no value, and its envelope no such deletes (envelope = 'upsert' has)"),
    (b"  ", "truncated JSON: it ends at byte 2 (EOF while parsing a value)"),
    (b"{\"uuid\": \"a", "truncated JSON: it ends at byte 11 (EOF while parsing a string)"),
    (b"{\"uuid\": 01}", "invalid JSON at byte 10: invalid number"),
    (b"{\"uuid\": abc}", "invalid JSON at byte 9: expected value"),
    (b"{\n\"uuid\": 1,\n\"ts\" 2}", "invalid JSON at byte 18: expected `:`"),
    (b"{} {}", "invalid JSON at byte 3: trailing characters"),
    (b"{\"a\": 1,}", "invalid JSON at byte 8: trailing comma"),
];

/// What is replaced in a good envelope, by what, and the reason.
#[rustfmt::skip]
const ENVELOPES: &[(&str, &str, &str)] = &[
    (r#""uuid": "0190f3a1-7b2c-7def-8123-456789abcdef", "#, "", "the envelope has no 'uuid'"),
    (r#""0190f3a1-7b2c-7def-8123-456789abcdef""#, r#""""#, "envelope member 'uuid': expected a string that is not empty, found \"\""),
    (r#""0190f3a1-7b2c-7def-8123-456789abcdef""#, "7", "envelope member 'uuid': expected a string that is not empty, found 7"),
    (r#""type": "update", "#, "", "the envelope has no 'type'"),
    (r#""ts": 1767225600123, "#, "", "the envelope has no 'ts'"),
    (r#""entity": "payment", "#, "", "the envelope has no 'entity'"),
    (r#""id": 42, "#, "", "the envelope has no 'id'"),
    (r#""id": 42"#, r#""id": null"#, "the envelope has no 'id'"),
    (r#""id": 42"#, r#""id": [42]"#, "envelope member 'id': expected a number or a string, found [42]"),
    (r#""update""#, r#""upsert""#, "envelope member 'type': expected create, read, update or delete, found \"upsert\""),
    (r#""update""#, "7", "envelope member 'type': expected a string, found 7"),
    (r#""payment""#, r#""refund""#, "envelope member 'entity': expected payment, found refund"),
    (r#""payment""#, "[]", "envelope member 'entity': expected a string, found []"),
    ("1767225600123", "\"soon\"", "envelope member 'ts': expected milliseconds since 1970 or an ISO 8601 string, of the years 1 to 9999, found \"soon\""),
    ("1767225600123", "1e12", "envelope member 'ts': expected milliseconds since 1970 or an ISO 8601 string, of the years 1 to 9999, found 1e12"),
    ("1767225600123", "1767225600123456789", "envelope member 'ts': expected milliseconds since 1970 or an ISO 8601 string, of the years 1 to 9999, found 1767225600123456789"),
    (r#", "data": {}"#, "", "update without 'data': no state in the event and no lookup is configured"),
    (r#""data": {}"#, r#""data": null"#, "update without 'data': no state in the event and no lookup is configured"),
    (r#""data": {}"#, r#""data": [{}]"#, "envelope member 'data': expected an object, found an array"),
    (r#""data": {}"#, r#""data": "x\n""#, "envelope member 'data': expected an object, found a string"),
    (r#""data": {}"#, r#""data": -1.5"#, "envelope member 'data': expected an object, found a number"),
    (r#""data": {}"#, r#""data": {}, "data": false"#, "envelope member 'data': expected an object, found a boolean"),
];

#[test]
fn a_dead_letter_has_all_that_its_record_had() {
    let mut records = keyed(&[(Some(b"\xff"), Some(b"[]")), (None, None)]);
    records.push_header(b"trace", Some(b"x"));
    records.push_header(b"none", None);
    records.timestamps = vec![-1, 7];
    records.times = vec![5, 7];
    let spec = Spec::new("plain", vec![data("x", DataType::Int64)]);
    let decoded = decode(&mut *spec.decoder().expect("it is right"), &records);
    let [first, second] = &decoded.dead_letters[..] else {
        panic!("{:?}", decoded.dead_letters)
    };
    let bytes = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!((&first.key, &first.bytes), (&bytes(b"\xff"), &bytes(b"[]")));
    assert_eq!((first.timestamp_ms, &first.headers[..]), (None, &[][..]));
    assert_eq!((&second.key, &second.bytes), (&None, &None));
    let header = |name: &str, value| Header {
        name: name.to_owned(),
        value,
    };
    let headers = [header("trace", bytes(b"x")), header("none", None)];
    assert_eq!(
        (second.timestamp_ms, &second.headers[..]),
        (Some(7), &headers[..])
    );
    assert_eq!((second.stage, second.truncated), (Stage::Decode, false));
}

const MONEY: DataType = DataType::Decimal128(18, 2);

/// A type, a value that is not of the type, and the reason.
#[rustfmt::skip]
const VALUES: &[(DataType, &str, &str)] = &[
    (DataType::Boolean, r#""true""#, r#"expected BOOLEAN, found "true""#),
    (DataType::Int32, "2147483648", "expected INT, found 2147483648 (out of range)"),
    (DataType::Int64, "1.0", "expected BIGINT, found 1.0"),
    (DataType::Int64, "1e3", "expected BIGINT, found 1e3"),
    (DataType::Int64, r#""17""#, r#"expected BIGINT, found "17""#),
    (DataType::Int64, "9223372036854775808", "expected BIGINT, found 9223372036854775808 (out of range)"),
    (DataType::Float64, r#""1.5""#, r#"expected DOUBLE, found "1.5""#),
    (DataType::Float64, "1e999", "expected DOUBLE, found 1e999 (out of range)"),
    (MONEY, "12.345", "expected DECIMAL(18, 2), found 12.345 (more fractional digits than the scale)"),
    (MONEY, r#""1,200.00""#, r#"expected DECIMAL(18, 2), found "1,200.00" (not in its text form)"#),
    (MONEY, r#""""#, r#"expected DECIMAL(18, 2), found "" (not in its text form)"#),
    (MONEY, "1e16", "expected DECIMAL(18, 2), found 1e16 (out of range)"),
    (MONEY, "true", "expected DECIMAL(18, 2), found true"),
    (DataType::Utf8, "7", "expected VARCHAR, found 7"),
    (DataType::Utf8, r#""\ud800""#, r#"expected VARCHAR, found "\ud800" (not in its text form)"#),
    (DataType::Date32, r#""31.01.2026""#, r#"expected DATE, found "31.01.2026" (not in its text form)"#),
    (DataType::Date32, "20484", "expected DATE, found 20484"),
    (TIMESTAMP, "1.5", "expected TIMESTAMP, found 1.5"),
    (TIMESTAMP, r#""noon""#, r#"expected TIMESTAMP, found "noon" (not in its text form)"#),
    (TIMESTAMP, "1767225600123456789", "expected TIMESTAMP, found 1767225600123456789 (out of range)"),
    (DataType::FixedSizeBinary(16), r#""42""#, r#"expected UUID, found "42" (not in its text form)"#),
    (DataType::FixedSizeBinary(16), "{\n\"a\": 1}", "expected UUID, found { \"a\": 1}"),
];

#[test]
fn a_record_that_is_no_json_object_says_where_it_breaks() {
    for (record, expected) in BROKEN {
        assert_eq!(reason(Vec::new(), record), *expected);
    }
}

#[test]
fn an_envelope_without_its_members_is_a_dead_letter() {
    let whole = update("{}");
    for (from, to, expected) in ENVELOPES {
        assert!(whole.contains(from), "{from}");
        assert_eq!(
            reason(Vec::new(), whole.replace(from, to).as_bytes()),
            *expected
        );
    }
}

#[test]
fn a_value_of_the_wrong_type_is_a_dead_letter_that_names_field_type_and_value() {
    for (data_type, value, expected) in VALUES {
        let record = update(&format!(r#"{{"first": "kept", "x": {value}}}"#));
        let columns = vec![data("first", DataType::Utf8), data("x", data_type.clone())];
        assert_eq!(
            reason(columns, record.as_bytes()),
            format!("field 'x': {expected}")
        );
    }
}

#[test]
fn an_excerpt_is_at_most_60_characters() {
    let record = update(&format!(r#"{{"x": "{}"}}"#, "é".repeat(100)));
    let reason = reason(vec![data("x", DataType::Int64)], record.as_bytes());
    let excerpt = reason
        .strip_prefix("field 'x': expected BIGINT, found ")
        .expect("the prefix");
    assert_eq!(excerpt, format!("\"{}…", "é".repeat(58)));
    assert_eq!(excerpt.chars().count(), 60);
}
