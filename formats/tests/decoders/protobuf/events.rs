//! Envelopes around messages, and columns that no field fits.

use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet,
};
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use super::source;
use crate::kit::{CLOCK_MS, Spec, at, data, decode, key, keyed, metadata, reasons, shown};

/// `NAME TYPE`, in the order of their numbers; a type with a point is a message's, or the enum's.
fn message(name: &str, fields: &[(&str, &str)]) -> DescriptorProto {
    let field = |(number, (name, of)): (i32, &(&str, &str))| FieldDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(
            match *of {
                "int64" => Type::Int64,
                "string" => Type::String,
                ".t.Kind" => Type::Enum,
                _ => Type::Message,
            }
            .into(),
        ),
        type_name: of.starts_with('.').then(|| (*of).to_owned()),
        ..FieldDescriptorProto::default()
    };
    DescriptorProto {
        name: Some(name.to_owned()),
        field: (1..).zip(fields).map(field).collect(),
        ..DescriptorProto::default()
    }
}

fn descriptors() -> Vec<u8> {
    let kinds = ["create", "read", "update", "delete"];
    let kinds = (0..)
        .zip(kinds)
        .map(|(number, name)| EnumValueDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            options: None,
        });
    let file = FileDescriptorProto {
        name: Some("t.proto".to_owned()),
        package: Some("t".to_owned()),
        syntax: Some("proto3".to_owned()),
        enum_type: vec![EnumDescriptorProto {
            name: Some("Kind".to_owned()),
            value: kinds.collect(),
            ..EnumDescriptorProto::default()
        }],
        message_type: vec![
            message("Row", &[("id", "int64"), ("note", "string")]),
            message("Source", &[("ts_ms", "int64"), ("lsn", "int64")]),
            message(
                "Change",
                &[
                    ("before", ".t.Row"),
                    ("after", ".t.Row"),
                    ("op", "string"),
                    ("ts_ms", "int64"),
                    ("source", ".t.Source"),
                ],
            ),
            message(
                "Event",
                &[
                    ("uuid", "string"),
                    ("type", ".t.Kind"),
                    ("ts", "int64"),
                    ("entity", "string"),
                    ("id", "int64"),
                    ("data", ".t.Row"),
                ],
            ),
        ],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn made(name: &str, fields: Vec<(&str, Value)>) -> DynamicMessage {
    let pool = DescriptorPool::decode(descriptors().as_slice()).unwrap();
    let mut message = DynamicMessage::new(pool.get_message_by_name(name).unwrap());
    for (name, value) in fields {
        message.set_field_by_name(name, value);
    }
    message
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn row(id: i64, note: &str) -> Value {
    Value::Message(made(
        "t.Row",
        vec![("id", Value::I64(id)), ("note", text(note))],
    ))
}

fn spec(
    envelope: &'static str,
    message: &str,
    columns: Vec<tidemill_types::format::Column>,
) -> Spec {
    Spec::new(envelope, columns)
        .in_format("protobuf")
        .with("protobuf.descriptors", &STANDARD.encode(descriptors()))
        .with("protobuf.message", message)
}

#[test]
fn changes_of_a_database_have_the_row_as_it_was_and_as_it_is() {
    let source_of = |lsn| {
        let fields = vec![("ts_ms", Value::I64(CLOCK_MS)), ("lsn", Value::I64(lsn))];
        ("source", Value::Message(made("t.Source", fields)))
    };
    let changes = [
        vec![("after", row(1, "new")), ("op", text("c")), source_of(7)],
        vec![
            ("before", row(1, "")),
            ("after", row(1, "newer")),
            ("op", text("u")),
            source_of(8),
        ],
        vec![("before", row(1, "newer")), ("op", text("d")), source_of(9)],
        vec![("op", text("c")), source_of(10)],
        vec![("op", text("x")), ("after", row(1, ""))],
    ];
    let values: Vec<_> = changes
        .into_iter()
        .map(|fields| made("t.Change", fields).encode_to_vec())
        .collect();
    let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
    let columns = vec![
        data("id", DataType::Int64),
        data("note", DataType::Utf8),
        metadata("source.lsn", DataType::Int64),
    ];
    let decoded = spec("debezium", "t.Change", columns).decode(&values);
    assert_eq!(
        shown(&decoded.rows),
        ["create 1 new 7", "update 1 newer 8", "delete 1 newer 9"]
    );
    assert_eq!(
        reasons(&decoded),
        [
            "the envelope has no 'after'",
            "envelope member 'op': expected c, r, u or d, found x"
        ]
    );
}

#[test]
fn events_say_what_they_do_by_an_enum() {
    let event = |kind, state: Option<Value>| {
        let mut fields = vec![
            ("uuid", text("u-1")),
            ("type", Value::EnumNumber(kind)),
            ("ts", Value::I64(CLOCK_MS)),
            ("entity", text("payment")),
            ("id", Value::I64(4)),
        ];
        fields.extend(state.map(|state| ("data", state)));
        made("t.Event", fields).encode_to_vec()
    };
    let events = [
        event(0, Some(row(4, "a"))),
        event(3, None),
        event(2, None),
        event(9, None),
    ];
    let values: Vec<_> = events.iter().map(Vec::as_slice).collect();
    let columns = vec![data("id", DataType::Int64), data("note", DataType::Utf8)];
    let decoded = spec("crud", "t.Event", columns).decode(&values);
    assert_eq!(shown(&decoded.rows), ["create 4 a", "delete 4 null"]);
    assert_eq!(
        reasons(&decoded),
        [
            "update without 'data': no state in the event and no lookup is configured",
            "envelope member 'type': expected a string, found 9",
        ]
    );
}

#[test]
fn a_key_without_value_is_a_delete_and_an_empty_message_is_all_defaults() {
    let spec = spec(
        "upsert",
        "t.Row",
        vec![key("id", DataType::Int64), data("note", DataType::Utf8)],
    );
    let records = keyed(&[(Some(b"5"), Some(b"")), (Some(b"5"), None)]);
    let decoded = decode(&mut *spec.decoder().unwrap(), &records);
    assert_eq!(shown(&decoded.rows), ["create 5 ", "delete 5 null"]);
}

#[test]
fn what_cannot_be_read_is_refused_while_planning() {
    let refused = |path: &str, data_type: DataType| {
        let spec = source(1, "corpus.Payment", vec![at("x", path, data_type)]);
        spec.decoder().err().unwrap().to_string()
    };
    let cases = [
        (
            "nobody",
            "stands for the field 'nobody', which 'corpus.Payment' does not have; name another one, or leave the column out",
        ),
        (
            "payee",
            "has another type than the field 'payee', which is a string; it can be VARCHAR, DECIMAL(p, s), DATE, TIMESTAMP, or UUID",
        ),
        (
            "tags",
            "has another type than the field 'tags', which is repeated; it can be an ARRAY",
        ),
        (
            "limits",
            "has another type than the field 'limits', which is a map; it can be a MAP",
        ),
        (
            "lines.label",
            "has another type than the field 'lines.label', which is within 'lines', which is repeated; it can be what lies in one message",
        ),
        (
            "first",
            "has another type than the field 'first', which is the message 'corpus.Payment.Line'; it can be a STRUCT of its fields, or a column by the path to one of them",
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(
            refused(path, DataType::Int64),
            format!("column 'x' {expected}")
        );
    }
    let none = Spec::new("plain", vec![]).in_format("protobuf");
    let error = |spec: Spec| spec.decoder().err().unwrap().to_string();
    assert_eq!(
        error(none),
        "option 'protobuf.descriptors' is ''; expected what 'protoc --include_imports --descriptor_set_out=FILE' makes, in base64"
    );
    assert_eq!(
        error(spec("plain", "t.Nobody", vec![])),
        "option 'protobuf.message' is 't.Nobody'; expected the name of a message: t.Row, t.Source, t.Change, t.Event"
    );
}
