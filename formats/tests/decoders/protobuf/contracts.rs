//! Messages that name their schemas, which a registry has; columns that a contract has; schemas that a sink derives.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use tidemill_formats::{Protobuf, proto_text};
use tidemill_types::format::{
    Change, Column, Contract, Error, Format, Options, SchemaText, Schemas, SinkSpec, WriterSchema,
};
use tidemill_types::sql_type::{array, map};

use crate::kit::{Spec, TIMESTAMP, at, data, reasons, required, shown};
use crate::nested::{record, written as as_json};
use crate::subject::{Subject, schema_text};

const ORDER: &str = "int64 id = 1; optional string note = 2; string city = 3;";

/// A file whose second message is the order.
fn file(fields: &str) -> String {
    format!(
        "syntax = \"proto3\"; package shop; message Other {{ int64 id = 1; }} message Order {{ {fields} }}"
    )
}

impl Subject {
    fn of(versions: &[&str]) -> Self {
        let versions = versions.iter().map(|fields| schema_text(&file(fields)));
        Self(versions.collect())
    }

    fn message(&self, version: usize, name: &str) -> MessageDescriptor {
        let file = proto_text::compile(&self.0[version - 1]).unwrap();
        file.parent_pool().get_message_by_name(name).unwrap()
    }

    /// The order of a version's writer, framed; the path to the second message is one step long.
    fn order(&self, version: usize, fields: &[(&str, Value)]) -> Vec<u8> {
        let mut message = DynamicMessage::new(self.message(version, "shop.Order"));
        for (name, value) in fields {
            message.set_field_by_name(name, value.clone());
        }
        framed(Self::number(version), &[2, 2], &message.encode_to_vec())
    }

    /// A source of its orders, planned with a version.
    fn source(self, planned_with: usize, columns: Vec<Column>) -> Spec {
        let mut spec = Spec::new("plain", columns)
            .in_format("protobuf")
            .with("protobuf.message", "shop.Order");
        spec.contracts = Some((Some(self.contract(planned_with)), Arc::new(self)));
        spec
    }
}

fn framed(id: u32, path: &[u8], message: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], path, message].concat()
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn columns() -> Vec<Column> {
    vec![
        required(data("id", DataType::Int64)),
        data("note", DataType::Utf8),
        data("city", DataType::Utf8),
    ]
}

#[test]
fn every_message_is_read_by_its_own_schema_and_fields_are_known_by_their_numbers() {
    let versions = [
        "int64 id = 1;",
        ORDER,
        // Another form of the same number, another name, and a field that nobody knows.
        "sint32 id = 1; string note = 2; string place = 3; bytes extra = 4;",
    ];
    let subject = Subject::of(&versions);
    let records = [
        subject.order(1, &[("id", Value::I64(1))]),
        subject.order(
            2,
            &[
                ("id", Value::I64(2)),
                ("note", text("hi")),
                ("city", text("Rome")),
            ],
        ),
        subject.order(3, &[("id", Value::I32(-3)), ("place", text("Bonn"))]),
        subject.order(1, &[]),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = subject.source(2, columns()).decode(&records);
    assert_eq!(reasons(&decoded), [""; 0]);
    // What was not written is what the contract says of it: null with presence, else the default.
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 1 null ",
            "create 2 hi Rome",
            "create -3 null Bonn",
            "create 0 null "
        ]
    );
}

#[test]
fn a_field_that_was_removed_or_has_another_kind_makes_dead_letters_that_name_it() {
    let versions = [
        ORDER,
        "int64 id = 1; optional string note = 2;",
        "int64 id = 1; optional string note = 2; int64 city = 3;",
        "int64 id = 1; optional string note = 2; repeated string city = 3;",
    ];
    let subject = Subject::of(&versions);
    let records = [
        subject.order(2, &[("id", Value::I64(2))]),
        subject.order(3, &[("id", Value::I64(3)), ("city", Value::I64(7))]),
        subject.order(4, &[("id", Value::I64(4))]),
        framed(71, &[0], &[8, 1]),
        framed(71, &[2, 14], &[8, 1]),
        framed(99, &[2, 2], &[]),
        b"{}".to_vec(),
        b"{\"id\": 1}".to_vec(),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = Subject::of(&versions).source(1, columns()).decode(&records);
    assert_eq!(decoded.rows.num_rows(), 0);
    assert_eq!(
        reasons(&decoded),
        [
            "schema 72 ('orders-value' version 2), by which it was written, has no field 'city' any more, which column 'city' is read from; the job was planned with version 1",
            "schema 73 ('orders-value' version 3), by which it was written, has an integer in the field 'city', which column 'city' is read from; version 1, which the job was planned with, has a string",
            "schema 74 ('orders-value' version 4), by which it was written, has repeated in the field 'city', which column 'city' is read from; version 1, which the job was planned with, has a string",
            "the record is the message 'shop.Other', expected 'shop.Order'",
            "not in Confluent's framing: the path to the message has 7 as step 1, where the schema has no such message",
            "the registry has no schema 99, which stands in front of the record",
            "not in Confluent's framing: expected five bytes before the message, found 2",
            "not in Confluent's framing: expected the first byte to be 0, found 123",
        ]
    );
    // A job that does not use the column is not concerned.
    let id = vec![data("id", DataType::Int64)];
    let decoded = subject.source(1, id).decode(&records[..3]);
    assert_eq!(shown(&decoded.rows), ["create 2", "create 3", "create 4"]);
}

#[test]
fn a_field_within_a_message_is_found_by_the_numbers_on_the_way() {
    let first = "int64 id = 1; Place at = 2; } message Place { string city = 1; int32 floor = 2;";
    let second = "int64 id = 1; Spot spot = 2; } message Spot { string town = 1;";
    let subject = Subject::of(&[first, second]);
    let spot = subject.message(2, "shop.Spot");
    let mut town = DynamicMessage::new(spot);
    town.set_field_by_name("town", text("Bonn"));
    let records = [
        subject.order(2, &[("id", Value::I64(1)), ("spot", Value::Message(town))]),
        subject.order(2, &[("id", Value::I64(2))]),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let read = vec![
        data("id", DataType::Int64),
        at("city", "at.city", DataType::Utf8),
    ];
    let decoded = Subject::of(&[first, second])
        .source(1, read)
        .decode(&records);
    assert_eq!(shown(&decoded.rows), ["create 1 Bonn", "create 2 null"]);
    // Of a writer that is newer, and has the floor no more.
    let floor = vec![at("floor", "at.floor", DataType::Int64)];
    let decoded = subject.source(1, floor).decode(&records);
    assert!(
        reasons(&decoded)[0].contains("has no field 'at.floor' any more"),
        "{:?}",
        reasons(&decoded)
    );
}

#[test]
fn a_schema_is_read_with_what_it_imports() {
    let money = "syntax = \"proto3\"; package bank; message Money { string text = 1; }";
    let order = "syntax = \"proto3\"; package shop; import \"bank/money.proto\"; \
         message Order { int64 id = 1; bank.Money price = 2; }";
    let subject = Subject(vec![SchemaText {
        text: order.to_owned(),
        references: vec![("bank/money.proto".to_owned(), money.to_owned())],
    }]);
    let mut price = DynamicMessage::new(subject.message(1, "bank.Money"));
    price.set_field_by_name("text", text("1.50"));
    let mut order = DynamicMessage::new(subject.message(1, "shop.Order"));
    order.set_field_by_name("price", Value::Message(price));
    // The first message: a path of one byte.
    let record = framed(71, &[0], &order.encode_to_vec());
    let price = at("price", "price.text", DataType::Decimal128(12, 2));
    let decoded = subject.source(1, vec![price]).decode(&[&record]);
    assert_eq!(shown(&decoded.rows), ["create 1.50"]);
}

#[test]
fn without_a_version_each_message_is_read_as_its_writer_says() {
    let subject = Subject::of(&[ORDER]);
    let record = subject.order(1, &[("id", Value::I64(1)), ("city", text("Rome"))]);
    let mut spec = Spec::new("plain", columns())
        .in_format("protobuf")
        .with("protobuf.message", "shop.Order");
    spec.contracts = Some((None, Arc::new(subject)));
    let decoded = spec.decode(&[&record]);
    assert_eq!(shown(&decoded.rows), ["create 1 null Rome"]);
}

#[test]
fn what_does_not_go_with_a_registry_is_refused() {
    let said = |spec: Spec| spec.decoder().err().unwrap().to_string();
    let subject = || Subject::of(&["int64 id = 1;"]);
    assert_eq!(
        said(subject().source(1, columns())),
        "column 'note' stands for the field 'note', which ''orders-value' version 1 (id 71)' does not have; name another one, or leave the column out"
    );
    let id = || vec![data("id", DataType::Int64)];
    assert_eq!(
        said(
            subject()
                .source(1, id())
                .with("protobuf.descriptors", "AA==")
        ),
        "option 'protobuf.descriptors' is 'a descriptor set'; expected no such option beside a registry, which has the schemas"
    );
    assert_eq!(
        said(
            subject()
                .source(1, id())
                .with("protobuf.message", "shop.Orders")
        ),
        "option 'protobuf.message' is 'shop.Orders'; expected the name of a message: shop.Other, shop.Order"
    );
    let broken = Subject(vec![schema_text("{}")]);
    assert!(
        said(broken.source(1, id()))
            .starts_with("contract 'orders-value' version 1 (id 71): it is no Protobuf schema: "),
    );
}

#[test]
fn the_columns_of_a_contract_are_the_fields_of_its_rows() {
    let fields = "int64 id = 1; optional int32 count = 2; bool paid = 3; double rate = 4; uint32 size = 5; fixed64 total = 6; \
         string name = 7; optional bytes raw = 8; State state = 9; google.protobuf.Timestamp at = 10; google.protobuf.Int64Value maybe = 11; \
         repeated string tags = 12; Other other = 13; map<string, Other> by_name = 14; enum State { OPEN = 0; } \
         Order again = 15; repeated Empty nothing = 16; message Empty {}";
    let text = file(fields).replace(
        "package shop;",
        "package shop; import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\";",
    );
    let contract = Subject(vec![schema_text(&text)]).contract(1);
    let expected = [
        ("id", DataType::Int64, false),
        ("count", DataType::Int32, true),
        ("paid", DataType::Boolean, false),
        ("rate", DataType::Float64, false),
        ("size", DataType::Int64, false),
        ("total", DataType::Decimal128(20, 0), false),
        ("name", DataType::Utf8, false),
        ("raw", DataType::Utf8, true),
        ("state", DataType::Utf8, false),
        ("at", TIMESTAMP, true),
        ("maybe", DataType::Int64, true),
        ("tags", array(DataType::Utf8), false),
        ("other", record(&[("id", DataType::Int64)]), true),
        ("by_name", map(record(&[("id", DataType::Int64)])), false),
        // What lies in itself, or has nothing in it, is left out.
    ];
    let expected = expected.map(|(name, data_type, nullable)| Column {
        nullable,
        ..data(name, data_type)
    });
    let options = Options::from([("protobuf.message".to_owned(), "shop.Order".to_owned())]);
    let columns = Protobuf.contract_columns(&contract, "plain", &options);
    assert_eq!(columns.unwrap(), expected);
    // Without a name it is the first message.
    let first = Protobuf.contract_columns(&contract, "plain", &Options::new());
    assert_eq!(first.unwrap().len(), 1);
    let error = Protobuf.contract_columns(&contract, "debezium", &options);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("its message 'shop.Order' carries no row of the envelope 'debezium'"),
    );
}

/// A sink of these columns.
struct Sink {
    schema: Schema,
    options: Options,
}

impl Sink {
    fn of(fields: Vec<Field>) -> Self {
        let name = ("protobuf.message".to_owned(), "shop.Total".to_owned());
        Self {
            schema: Schema::new(fields),
            options: Options::from([name]),
        }
    }

    fn spec<'a>(&'a self, contract: Option<&'a Contract>) -> SinkSpec<'a> {
        SinkSpec {
            envelope: "plain",
            schema: &self.schema,
            key: &[],
            metadata: None,
            contract,
            key_contract: None,
            options: &self.options,
        }
    }

    fn schema(&self, newest: Option<&Contract>) -> Result<String, Error> {
        Protobuf.contract_schema(&self.spec(None), newest)
    }
}

fn registered(text: &str) -> Contract {
    Contract {
        subject: "totals-value".to_owned(),
        version: 1,
        id: 7,
        schema: schema_text(text),
    }
}

#[test]
fn a_sink_s_fields_keep_their_numbers_and_a_number_is_never_given_twice() {
    let id = || Field::new("id", DataType::Int64, false);
    let note = || Field::new("note", DataType::Utf8, true);
    let seen = || Field::new("seen", TIMESTAMP, true);
    let money = || Field::new("money", DataType::Decimal128(12, 2), false);
    let first = Sink::of(vec![id(), note(), seen()]).schema(None).unwrap();
    assert_eq!(
        first,
        "syntax = \"proto3\";\npackage shop;\nimport \"google/protobuf/timestamp.proto\";\nmessage Total {\n  int64 id = 1;\n  \
         optional string note = 2;\n  google.protobuf.Timestamp seen = 3;\n}\n"
    );
    // The same columns, in whatever order, give the same text after themselves.
    let again = Sink::of(vec![seen(), id(), note()]);
    assert_eq!(again.schema(Some(&registered(&first))).unwrap(), first);

    let second = Sink::of(vec![money(), id(), note()]);
    let second = second.schema(Some(&registered(&first))).unwrap();
    let fields = "message Total {\n  reserved 3;\n  int64 id = 1;\n  optional string note = 2;\n  string money = 4;\n}\n";
    assert!(second.ends_with(fields), "{second}");
    let third = Sink::of(vec![id(), seen()]);
    let third = third.schema(Some(&registered(&second))).unwrap();
    let fields = "message Total {\n  reserved 2, 3, 4;\n  int64 id = 1;\n  google.protobuf.Timestamp seen = 5;\n}\n";
    assert!(third.ends_with(fields), "{third}");
}

#[test]
fn a_sink_s_structs_are_messages_whose_fields_keep_their_numbers() {
    let of = |city: &str, counts: &str| {
        let address = record(&[(city, DataType::Utf8), ("zip", DataType::Int32)]);
        Sink::of(vec![
            // Its message cannot be called as it is.
            Field::new("Address", address.clone(), true),
            Field::new("old_places", array(address), true),
            Field::new(counts, map(DataType::Int64), true),
            Field::new("tags", array(DataType::Utf8), true),
        ])
    };
    let first = of("city", "counts").schema(None).unwrap();
    assert_eq!(
        first,
        "syntax = \"proto3\";\npackage shop;\nmessage Total {\n  message Address_ {\n    optional string city = 1;\n    \
         optional int32 zip = 2;\n  }\n  message OldPlaces {\n    optional string city = 1;\n    optional int32 zip = 2;\n  }\n  \
         Address_ Address = 1;\n  repeated OldPlaces old_places = 2;\n  map<string, int64> counts = 3;\n  \
         repeated string tags = 4;\n}\n"
    );
    let again = of("city", "counts").schema(Some(&registered(&first)));
    assert_eq!(again.unwrap(), first);
    let second = of("town", "amounts").schema(Some(&registered(&first)));
    let second = second.unwrap();
    let message =
        "{\n    reserved 1;\n    optional int32 zip = 2;\n    optional string town = 3;\n  }\n";
    assert_eq!(second.matches(message).count(), 2, "{second}");
    assert!(second.contains("  reserved 3;\n"), "{second}");
    assert!(
        second.contains("  map<string, int64> amounts = 5;\n"),
        "{second}"
    );
}

#[test]
fn a_field_within_a_struct_that_a_writer_has_no_more_makes_dead_letters_that_name_it() {
    let of =
        |inner: &str| format!("int64 id = 1; repeated Line lines = 2; message Line {{ {inner} }}");
    let versions = [
        of("string label = 1; int32 count = 2;"),
        of("string name = 1; sint64 count = 2; bytes more = 3;"),
        of("string label = 1;"),
        of("string label = 1; string count = 2;"),
    ];
    let subject = Subject::of(&versions.each_ref().map(String::as_str));
    let line = |version: usize, fields: &[(&str, Value)]| {
        let mut line = DynamicMessage::new(subject.message(version, "shop.Order.Line"));
        for (name, value) in fields {
            line.set_field_by_name(name, value.clone());
        }
        let lines = Value::List(vec![Value::Message(line)]);
        subject.order(version, &[("id", Value::I64(1)), ("lines", lines)])
    };
    let records = [
        line(1, &[("label", text("a")), ("count", Value::I32(2))]),
        line(2, &[("name", text("b")), ("count", Value::I64(-3))]),
        line(3, &[("label", text("c"))]),
        line(4, &[("label", text("d"))]),
    ];
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let lines = array(record(&[
        ("label", DataType::Utf8),
        ("count", DataType::Int32),
    ]));
    let decoded = subject
        .source(1, vec![data("lines", lines)])
        .decode(&records);
    assert_eq!(
        as_json(&decoded.rows),
        [
            r#"{"lines":[{"label":"a","count":2}]}"#,
            r#"{"lines":[{"label":"b","count":-3}]}"#
        ]
    );
    let field = "the field 'lines[].count', which column 'lines' is read from";
    let expected = [
        "schema 73 ('orders-value' version 3), by which it was written, has no field 'lines[].count' any more, which column 'lines' is read \
             from; the job was planned with version 1".to_owned(),
        format!(
            "schema 74 ('orders-value' version 4), by which it was written, has a string in {field}; version 1, which the job was planned with, \
             has an integer"
        ),
    ];
    assert_eq!(reasons(&decoded), expected);
}

#[test]
fn a_sink_whose_columns_have_no_form_is_refused() {
    let said = |fields| Sink::of(fields).schema(None).unwrap_err().to_string();
    assert!(
        said(vec![Field::new("a b", DataType::Int64, false)]).contains("column 'a b' has a name")
    );
    let list = array(array(DataType::Int64));
    assert!(
        said(vec![Field::new("a", list, false)])
            .contains("which the format 'protobuf' cannot carry")
    );
    let mut sink = Sink::of(vec![Field::new("id", DataType::Int64, false)]);
    sink.options
        .insert("protobuf.message".to_owned(), "1".to_owned());
    assert!(
        sink.schema(None)
            .unwrap_err()
            .to_string()
            .contains("option 'protobuf.message' is '1'")
    );
    sink.options
        .insert("protobuf.framing".to_owned(), "confluent".to_owned());
    sink.options.remove("protobuf.message");
    let error = Protobuf.encoder(&sink.spec(None)).err().unwrap();
    assert!(
        error.to_string().contains("protobuf.descriptors"),
        "{error}"
    );
}

/// A registry that has one contract.
#[derive(Debug)]
struct One(Contract);

impl Schemas for One {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        (id == self.0.id).then(|| {
            Arc::new(WriterSchema {
                schema: self.0.schema.clone(),
                places: vec![(self.0.subject.clone(), self.0.version)],
            })
        })
    }
}

#[test]
fn what_a_sink_writes_by_its_contract_is_read_by_it() {
    let sink = Sink::of(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("note", DataType::Utf8, true),
    ]);
    let contract = registered(&sink.schema(None).unwrap());
    let encoder = Protobuf.encoder(&sink.spec(Some(&contract))).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 0])),
        Arc::new(StringArray::from(vec![Some("hi"), None])),
    ];
    let rows = RecordBatch::try_new(Arc::new(sink.schema.clone()), columns).unwrap();
    let bound = encoder.bind(&rows, 0).unwrap();
    let records: Vec<Vec<u8>> = (0..2)
        .map(|row| {
            let mut out = Vec::new();
            assert!(bound.write_value(Change::Insert(row), &mut out));
            out
        })
        .collect();
    assert_eq!(records[0], b"\x00\x00\x00\x00\x07\x00\x08\x01\x12\x02hi");

    let columns = Protobuf.contract_columns(&contract, "plain", &Options::new());
    let mut spec = Spec::new("plain", columns.unwrap()).in_format("protobuf");
    spec.contracts = Some((Some(contract.clone()), Arc::new(One(contract))));
    let records: Vec<_> = records.iter().map(Vec::as_slice).collect();
    let decoded = spec.decode(&records);
    assert_eq!(shown(&decoded.rows), ["create 1 hi", "create 0 null"]);
}
