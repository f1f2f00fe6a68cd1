//! Rows that are written: their schema, their bytes, and that they are read back as they were, by us and by apache-avro.

use std::sync::Arc;

use apache_avro::types::Value as Avro;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int8Array, Int32Array, Int64Array, NullArray, PrimitiveArray, RecordBatch,
    StringArray, StringViewArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use tidemill_formats::{Avro as Format, temporal};
use tidemill_types::ErrorKind;
use tidemill_types::format::{Change, Error, Format as _, Options, SinkSpec};

use super::super::kit::{Spec, data, metadata, reasons, required, shown};
use super::{read_by_apache, source, text};

/// A sink of rows.
struct Sink {
    envelope: &'static str,
    schema: Schema,
    options: Options,
}

impl Sink {
    fn of(schema: &Schema) -> Self {
        Self {
            envelope: "plain",
            schema: schema.clone(),
            options: Options::new(),
        }
    }

    fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }

    fn spec(&self) -> SinkSpec<'_> {
        SinkSpec {
            envelope: self.envelope,
            schema: &self.schema,
            key: &[],
            metadata: None,
            contract: None,
            key_contract: None,
            options: &self.options,
        }
    }

    fn schema(&self) -> Result<String, Error> {
        Format.contract_schema(&self.spec(), None)
    }

    /// The value of a change; none is a tombstone.
    fn write(&self, rows: &RecordBatch, change: Change) -> Option<Vec<u8>> {
        let encoder = Format.encoder(&self.spec()).unwrap();
        let bound = encoder.bind(rows, 1_767_225_600_000).unwrap();
        let mut out = Vec::new();
        bound.write_value(change, &mut out).then_some(out)
    }
}

fn batch(columns: Vec<(&str, ArrayRef, bool)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn ids(ids: &[i64]) -> RecordBatch {
    let ids = PrimitiveArray::<Int64Type>::from_iter_values(ids.iter().copied());
    let names =
        StringArray::from_iter(std::iter::once(None).chain((1..ids.len()).map(|_| Some("x"))));
    batch(vec![
        ("id", Arc::new(ids), false),
        ("name", Arc::new(names), true),
    ])
}

#[test]
fn the_schema_is_derived_from_the_columns() {
    let sink = Sink::of(&ids(&[1]).schema());
    assert_eq!(
        sink.schema().unwrap(),
        r#"{"type":"record","name":"row","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null}]}"#
    );
    let money = Field::new("paid", DataType::Decimal128(18, 2), false);
    let sink = Sink::of(&Schema::new(vec![money])).with("avro.name", "studio.Payment");
    let row = r#"{"type":"record","name":"studio.Payment","fields":[{"name":"paid","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}}]}"#;
    assert_eq!(sink.schema().unwrap(), row);
    let changes = Sink {
        envelope: "debezium",
        ..sink
    };
    assert_eq!(
        changes.schema().unwrap(),
        format!(
            r#"{{"type":"record","name":"studio.Payment_change","fields":[{{"name":"before","type":["null",{row}],"default":null}},{{"name":"after","type":["null","studio.Payment"],"default":null}},{{"name":"op","type":"string"}},{{"name":"ts_ms","type":"long"}}]}}"#
        )
    );
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let rows = ids(&[-65, 64]);
    let sink = Sink::of(&rows.schema());
    let written = |row| sink.write(&rows, Change::Insert(row)).unwrap();
    assert_eq!(written(0), [0x81, 0x01, 0]);
    assert_eq!(written(1), [0x80, 0x01, 2, 2, b'x']);
    let upsert = Sink {
        envelope: "upsert",
        ..sink
    };
    assert_eq!(upsert.write(&rows, Change::Delete(0)), None);
    assert_eq!(
        upsert.write(&rows, Change::Insert(0)),
        Some(vec![0x81, 0x01, 0])
    );
}

#[test]
fn every_type_is_read_by_apache_avro_as_its_own() {
    let uuid = uuid::Uuid::from_u128(7);
    let uuids = FixedSizeBinaryArray::try_from_iter(std::iter::once(uuid.as_bytes())).unwrap();
    let money = PrimitiveArray::<Decimal128Type>::from_iter_values([-129]);
    let money = money.with_precision_and_scale(38, 2).unwrap();
    let array = |array: &dyn arrow_array::Array| arrow_array::make_array(array.to_data());
    let long = |v| Avro::Long(v);
    let decimal = |bytes: &[u8]| Avro::Decimal(apache_avro::Decimal::from(bytes));
    let cases: Vec<(ArrayRef, Avro)> = vec![
        (array(&BooleanArray::from(vec![true])), Avro::Boolean(true)),
        (array(&Int8Array::from(vec![-1])), Avro::Int(-1)),
        (
            array(&Int32Array::from(vec![i32::MIN])),
            Avro::Int(i32::MIN),
        ),
        (
            array(&UInt32Array::from(vec![u32::MAX])),
            long(i64::from(u32::MAX)),
        ),
        (array(&Int64Array::from(vec![i64::MIN])), long(i64::MIN)),
        (array(&UInt64Array::from(vec![256])), decimal(&[1, 0])),
        (array(&Float32Array::from(vec![0.5])), Avro::Float(0.5)),
        (array(&Float64Array::from(vec![0.1])), Avro::Double(0.1)),
        (array(&money), decimal(&[0xff, 0x7f])),
        (array(&StringArray::from(vec!["é"])), text("é")),
        (
            array(&StringViewArray::from(vec!["a text too long for a view"])),
            text("a text too long for a view"),
        ),
        (array(&Date32Array::from(vec![-1])), Avro::Date(-1)),
        (
            array(&TimestampMillisecondArray::from(vec![-1])),
            Avro::TimestampMillis(-1),
        ),
        (array(&uuids), Avro::Uuid(uuid)),
        (
            array(&BinaryArray::from(vec![&b"\0\xff"[..]])),
            Avro::Bytes(vec![0, 255]),
        ),
    ];
    for (array, expected) in cases {
        for is_nullable in [false, true] {
            let rows = batch(vec![("x", Arc::clone(&array), is_nullable)]);
            let sink = Sink::of(&rows.schema());
            let bytes = sink.write(&rows, Change::Insert(0)).unwrap();
            let expected = if is_nullable {
                Avro::Union(1, Box::new(expected.clone()))
            } else {
                expected.clone()
            };
            assert_eq!(
                read_by_apache(&sink.schema().unwrap(), &bytes),
                Avro::Record(vec![("x".to_owned(), expected)])
            );
        }
    }
    let rows = batch(vec![("x", Arc::new(NullArray::new(1)), true)]);
    let sink = Sink::of(&rows.schema());
    let bytes = sink.write(&rows, Change::Insert(0)).unwrap();
    assert_eq!(
        read_by_apache(&sink.schema().unwrap(), &bytes),
        Avro::Record(vec![("x".to_owned(), Avro::Null)])
    );
}

#[test]
fn a_change_is_read_back_with_its_row_as_it_was_and_as_it_is() {
    let rows = ids(&[1, 2]);
    let sink = Sink {
        envelope: "debezium",
        ..Sink::of(&rows.schema())
    };
    let update = Change::Update {
        before: 0,
        after: 1,
    };
    let changes = [Change::Insert(0), update, Change::Delete(1)];
    let written = changes.map(|change| sink.write(&rows, change).unwrap());
    let columns = vec![
        data("id", DataType::Int64),
        data("name", DataType::Utf8),
        metadata("ts", DataType::Int64),
    ];
    let spec = Spec {
        envelope: "debezium",
        ..source(&sink.schema().unwrap(), columns)
    };
    let written: Vec<_> = written.iter().map(Vec::as_slice).collect();
    let decoded = spec.decode(&written);
    assert_eq!(reasons(&decoded), [""; 0]);
    assert_eq!(
        shown(&decoded.rows),
        [
            "create 1 null 1767225600000",
            "update 2 x 1767225600000",
            "delete 2 x 1767225600000"
        ]
    );
}

#[test]
fn what_cannot_be_written_is_refused_while_planning() {
    let error = |name: &str, data_type, option: (&str, &str)| {
        let schema = Schema::new(vec![Field::new(name, data_type, true)]);
        let sink = Sink::of(&schema).with(option.0, option.1);
        let error = Format.encoder(&sink.spec()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    let none = ("avro.name", "row");
    assert_eq!(
        error("due on", DataType::Date32, none),
        "column 'due on' has a name that the format 'avro' cannot carry; give it another one by AS: \
         a name of letters, digits and '_' that begins with none of the digits"
    );
    assert!(
        error("x", DataType::Decimal128(5, -2), none)
            .starts_with("column 'x' has type DECIMAL(5, -2)")
    );
    assert!(
        error("x", DataType::Date32, ("avro.name", "a..b"))
            .starts_with("option 'avro.name' is 'a..b'; expected")
    );
    assert_eq!(
        error("x", DataType::Date32, ("avro.framing", "confluent")),
        "option 'avro.framing' is 'confluent'; expected 'none' for a sink without schema.registry.url: a schema's number comes from a registry"
    );
    let nulls = batch(vec![("x", Arc::new(Int64Array::from(vec![None])), true)]);
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, false)]);
    let sink = Sink::of(&schema);
    let encoder = Format.encoder(&sink.spec()).unwrap();
    let error = encoder.bind(&nulls, 0).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Bug);
}

/// A row of every type that a source has.
type Row = (
    (Option<bool>, Option<i32>, i64, Option<f64>),
    (Option<i64>, Option<String>, Option<i32>, i64, u128),
);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let finite = any::<f64>().prop_filter("a column has finite numbers", |v| v.is_finite());
    let days = prop::option::of(-719_162..2_932_896);
    let times = temporal::FIRST_MS..=temporal::LAST_MS;
    let numbers = (
        any::<Option<bool>>(),
        any::<Option<i32>>(),
        any::<i64>(),
        prop::option::of(finite),
    );
    let others = (
        any::<Option<i64>>(),
        prop::option::of("\\PC*"),
        days,
        times,
        any::<u128>(),
    );
    prop::collection::vec((numbers, others), 1..5)
}

fn batch_of(rows: &[Row]) -> RecordBatch {
    let money = rows.iter().map(|row| row.1.0.map(i128::from));
    let money = PrimitiveArray::<Decimal128Type>::from_iter(money);
    let money = money.with_precision_and_scale(20, 3).unwrap();
    let uuids = rows.iter().map(|row| row.1.4.to_be_bytes());
    let texts = rows.iter().map(|row| row.1.1.as_deref());
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1.3));
    batch(vec![
        (
            "b",
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.0.0))),
            true,
        ),
        (
            "i",
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.0.1))),
            true,
        ),
        (
            "l",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0.2))),
            false,
        ),
        (
            "f",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.0.3))),
            true,
        ),
        ("m", Arc::new(money), true),
        ("s", Arc::new(StringArray::from_iter(texts)), true),
        (
            "d",
            Arc::new(Date32Array::from_iter(rows.iter().map(|row| row.1.2))),
            true,
        ),
        ("t", Arc::new(times), false),
        (
            "u",
            Arc::new(FixedSizeBinaryArray::try_from_iter(uuids).unwrap()),
            false,
        ),
    ])
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_as_it_was(rows in rows()) {
        let rows = batch_of(&rows);
        let sink = Sink::of(&rows.schema());
        let schema = sink.schema().unwrap();
        let written: Vec<_> = (0..rows.num_rows()).map(|row| sink.write(&rows, Change::Insert(row)).unwrap()).collect();
        let columns = rows.schema().fields().iter().map(|field| {
            let column = data(field.name(), field.data_type().clone());
            if field.is_nullable() { column } else { required(column) }
        }).collect();
        let slices: Vec<_> = written.iter().map(Vec::as_slice).collect();
        let decoded = source(&schema, columns).decode(&slices);
        prop_assert_eq!(reasons(&decoded), [""; 0]);
        for (i, column) in rows.columns().iter().enumerate() {
            prop_assert_eq!(column, decoded.rows.column(i));
        }
        for bytes in &written {
            read_by_apache(&schema, bytes);
        }
    }
}
