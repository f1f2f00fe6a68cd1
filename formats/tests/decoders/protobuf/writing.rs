//! Rows as messages: what prost-reflect and our own decoder read of them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float32Array, Int64Array, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};
use tidemill_formats::Protobuf;
use tidemill_types::format::{Change, Error, Format, Options, SinkSpec};
use tidemill_types::sql_type::{array, map};

use super::nested::{lines_without_amounts as lines, many};
use super::random::{message, tapes};
use super::{DESCRIPTORS, descriptor, source};
use crate::kit::{Spec, TIMESTAMP, data, reasons};
use crate::nested::record;

/// What the encoder makes of rows.
fn written(rows: &RecordBatch) -> Result<Vec<Vec<u8>>, Error> {
    let options = [
        ("protobuf.descriptors", STANDARD.encode(DESCRIPTORS[0])),
        ("protobuf.message", "corpus.Payment".to_owned()),
    ];
    let options = options.map(|(option, value)| (option.to_owned(), value));
    let encoder = Protobuf.encoder(&SinkSpec {
        envelope: "upsert",
        schema: &rows.schema(),
        key: &[],
        metadata: None,
        contract: None,
        key_contract: None,
        options: &Options::from_iter(options),
    })?;
    let bound = encoder.bind(rows, 0)?;
    assert!(!bound.write_value(Change::Delete(0), &mut Vec::new()));
    let write = |row| {
        let mut out = Vec::new();
        assert!(bound.write_value(Change::Insert(row), &mut out));
        out
    };
    Ok((0..rows.num_rows()).map(write).collect())
}

/// The columns that are read as they are written.
fn same() -> Vec<(&'static str, DataType)> {
    let written = many().into_iter().filter(|(name, _)| {
        // Keys that are no texts are not written, numbers of 32 bits not from those of 64, nor times exactly.
        ![
            "by_number",
            "by_flag",
            "unpacked",
            "unpacked_fixed",
            "history",
            "lines",
        ]
        .contains(name)
    });
    SINGLE
        .into_iter()
        .chain(written)
        .chain([("lines", lines())])
        .collect()
}

const SINGLE: [(&str, DataType); 23] = [
    ("id", DataType::Int64),
    ("plain32", DataType::Int32),
    ("zigzag32", DataType::Int32),
    ("zigzag64", DataType::Int64),
    ("signed_fixed32", DataType::Int32),
    ("signed_fixed64", DataType::Int64),
    ("score", DataType::Float64),
    ("urgent", DataType::Boolean),
    ("payee", DataType::Utf8),
    ("receipt", DataType::Utf8),
    ("maybe_int", DataType::Int32),
    ("maybe_text", DataType::Utf8),
    ("maybe_bool", DataType::Boolean),
    ("maybe_double", DataType::Float64),
    ("maybe_bytes", DataType::Utf8),
    ("maybe_state", DataType::Int32),
    ("number", DataType::Int64),
    ("state", DataType::Int32),
    ("wrapped_int", DataType::Int64),
    ("wrapped_text", DataType::Utf8),
    ("wrapped_bool", DataType::Boolean),
    ("wrapped_double", DataType::Float64),
    ("wrapped_bytes", DataType::Utf8),
];

proptest! {
    #[test]
    fn rows_read_from_messages_are_written_as_the_same_messages(tape in tapes()) {
        // As it is read back: a zero that was set is one that was not.
        let bytes = message(&tape).encode_to_vec();
        let message = DynamicMessage::decode(descriptor("corpus.Payment"), bytes.as_slice()).unwrap();
        let mut columns: Vec<_> = same().iter().map(|(name, of)| data(name, of.clone())).collect();
        columns.push(data("seen", TIMESTAMP));
        let source = source(1, "corpus.Payment", columns);
        let decoded = source.decode(&[&bytes]);
        prop_assert_eq!(reasons(&decoded), [""; 0]);
        let rows = decoded.rows.project(&(0..=same().len()).collect::<Vec<_>>()).unwrap();
        let bytes = written(&rows).unwrap().remove(0);

        let again = DynamicMessage::decode(message.descriptor(), bytes.as_slice()).unwrap();
        // Of lines the amounts were left out.
        for (name, _) in same().into_iter().filter(|(name, _)| *name != "lines") {
            let field = again.descriptor().get_field_by_name(name).unwrap();
            prop_assert_eq!(again.has_field(&field), message.has_field(&field), "field {}", name);
            prop_assert_eq!(again.get_field(&field), message.get_field(&field), "field {}", name);
        }
        // Of maps prost-reflect leaves out what is its default, which others write.
        let flat: Vec<_> = (0..rows.num_columns())
            .filter(|&i| {
                let is_map = matches!(rows.column(i).data_type(), DataType::Map(..));
                !is_map && rows.schema().field(i).name() != "lines"
            })
            .collect();
        let flat = written(&rows.project(&flat).unwrap()).unwrap().remove(0);
        let of_flat = DynamicMessage::decode(message.descriptor(), flat.as_slice()).unwrap();
        prop_assert_eq!(of_flat.encode_to_vec(), flat);

        let read = source.decode(&[&bytes]);
        prop_assert_eq!(read.rows.columns(), decoded.rows.columns());
    }
}

fn column(name: &str, values: impl arrow_array::Array + 'static) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(values))
}

#[test]
fn every_type_has_its_form() {
    let long = "x".repeat(300);
    let rows = RecordBatch::try_from_iter([
        column("weight", Float32Array::from(vec![0.1])),
        column("unsigned64", UInt64Array::from(vec![u64::MAX])),
        column("unsigned32", UInt32Array::from(vec![u32::MAX])),
        column("wrapped_text", StringArray::from(vec![long.as_str()])),
        column("due_on", Date32Array::from(vec![-1])),
        column(
            "amount",
            Decimal128Array::from(vec![-5])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        column("amount_text", Date32Array::from(vec![0])),
    ]);
    let bytes = written(&rows.unwrap()).unwrap().remove(0);
    let message = DynamicMessage::decode(descriptor("corpus.Payment"), bytes.as_slice()).unwrap();
    let field = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
    let within = |name: &str, of: &str| match field(name) {
        Value::Message(message) => message.get_field_by_name(of).unwrap().into_owned(),
        other => panic!("{other}"),
    };
    assert_eq!(field("weight"), Value::F32(0.1));
    assert_eq!(field("unsigned64"), Value::U64(u64::MAX));
    assert_eq!(field("unsigned32"), Value::U32(u32::MAX));
    assert_eq!(within("wrapped_text", "value"), Value::String(long));
    assert_eq!(within("due_on", "year"), Value::I32(1969));
    assert_eq!(within("due_on", "day"), Value::I32(31));
    assert_eq!(within("amount", "value"), Value::String("-0.05".into()));
    assert_eq!(field("amount_text"), Value::String("1970-01-01".into()));
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn what_is_null_in_a_list_or_a_map_is_its_default() {
    let records = [
        br#"{"tags": [null, "x"], "packed": [null, 3], "by_state": {"a": null}, "lines": [null, {"label": null}], "flags": []}"#,
    ];
    let columns = ["tags", "packed", "by_state", "lines", "flags"];
    let types = [
        array(DataType::Utf8),
        array(DataType::Int32),
        map(DataType::Int32),
        array(record(&[("label", DataType::Utf8)])),
        array(DataType::Boolean),
    ];
    let columns = columns.into_iter().zip(types);
    let columns = columns.map(|(name, of)| data(name, of)).collect();
    let rows = Spec::new("plain", columns).decode(&records.map(|record| &record[..]));
    let rows = rows.rows.project(&[0, 1, 2, 3, 4]).unwrap();
    let bytes = written(&rows).unwrap().remove(0);
    let message = DynamicMessage::decode(descriptor("corpus.Payment"), bytes.as_slice()).unwrap();
    let field = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
    let text = |text: &str| Value::String(text.to_owned());
    assert_eq!(field("tags"), Value::List(vec![text(""), text("x")]));
    assert_eq!(
        field("packed"),
        Value::List(vec![Value::I32(0), Value::I32(3)])
    );
    let entry = (MapKey::String("a".to_owned()), Value::EnumNumber(0));
    assert_eq!(field("by_state"), Value::Map([entry].into()));
    let empty = DynamicMessage::new(
        message
            .descriptor()
            .parent_pool()
            .get_message_by_name("corpus.Payment.Line")
            .unwrap(),
    );
    let line = Value::Message(empty);
    assert_eq!(field("lines"), Value::List(vec![line.clone(), line]));
    assert!(!message.has_field_by_name("flags"));
}

#[test]
fn a_column_that_no_field_holds_is_refused() {
    let refused = |name: &str| {
        let rows = RecordBatch::try_from_iter([column(name, Int64Array::from(vec![1]))]);
        written(&rows.unwrap()).unwrap_err().to_string()
    };
    assert_eq!(
        refused("nobody"),
        "column 'nobody' stands for the field 'nobody', which 'corpus.Payment' does not have; name another one, or leave the column out"
    );
    assert_eq!(
        refused("plain32"),
        "column 'plain32' has another type than the field 'plain32', which is an integer; it can be INT, or smaller"
    );
    assert_eq!(
        refused("tags"),
        "column 'tags' has another type than the field 'tags', which is repeated; it can be an ARRAY"
    );
}
