//! Keys in Avro: what apache-avro wrote, bare and with the numbers of schemas in front, and what is written.

use std::sync::Arc;

use apache_avro::types::Value as Avro;
use arrow_array::{Date32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use tidemill_formats::{Avro as Format, Json};
use tidemill_types::format::{
    Change, Column, ColumnOrigin, Contract, Error, Format as _, Options, Path, Schemas, SinkSpec,
    WriterSchema,
};

use super::{corpus, read_by_apache, record_of, text, written};
use crate::kit::{Spec, UUID, at, data, decode, decoded_keys, key, keyed, reasons, shown};
use crate::subject::{Subject, schema_text};

const ORDER: &str = r#"{"type": "record", "name": "OrderKey", "fields": [
    {"name": "id", "type": "long"}, {"name": "shop", "type": ["null", "string"]},
    {"name": "of", "type": {"type": "record", "name": "Of", "fields": [{"name": "day", "type": {"type": "int", "logicalType": "date"}}]}}]}"#;

/// A source in JSON whose keys are in Avro.
fn source(schema: &str, mut columns: Vec<Column>) -> Spec {
    columns.push(data("n", DataType::Int64));
    Spec::new("upsert", columns)
        .with("key.format", "avro")
        .with("key.avro.schema", schema)
}

/// A column of the key that may be null, by its path.
fn from_key(name: &str, path: &str, data_type: DataType) -> Column {
    Column {
        nullable: true,
        origin: ColumnOrigin::Key(Path::parse(path).unwrap()),
        ..key(name, data_type)
    }
}

fn order(id: i64, shop: Option<&str>, day: i32) -> Vec<u8> {
    let shop = match shop {
        Some(shop) => Avro::Union(1, Box::new(text(shop))),
        None => Avro::Union(0, Box::new(Avro::Null)),
    };
    let of = record_of(&[("day", Avro::Date(day))]);
    written(
        ORDER,
        record_of(&[("id", Avro::Long(id)), ("shop", shop), ("of", of)]),
    )
}

#[test]
fn a_key_that_is_a_record_has_its_columns_by_name_and_by_path() {
    let columns = vec![
        from_key("day", "of.day", DataType::Date32),
        key("id", DataType::Int64),
        from_key("shop", "shop", DataType::Utf8),
    ];
    let keys = [order(7, Some("Bonn"), 1), order(-8, None, 20_000)];
    let keys = [Some(&*keys[0]), Some(&*keys[1])];
    let (rows, reasons) = decoded_keys(&source(ORDER, columns), &keys);
    assert_eq!(reasons, [""; 0]);
    assert_eq!(
        rows,
        ["create 1970-01-02 7 Bonn 1", "create 2024-10-04 -8 null 1"]
    );
}

#[test]
fn a_key_that_is_a_single_value_is_the_one_column() {
    let long = written("\"long\"", Avro::Long(-300));
    let string = written("\"string\"", text("a"));
    let optional = r#"["null", "long"]"#;
    let one = written(optional, Avro::Union(1, Box::new(Avro::Long(5))));
    let none = written(optional, Avro::Union(0, Box::new(Avro::Null)));
    let money = r#"{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}"#;
    let paid = written(money, Avro::Decimal(vec![4, 226].into()));
    let uuid = r#"{"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}"#;
    let cases: [(&str, &[u8], DataType, &str); 7] = [
        ("\"long\"", &long, DataType::Int64, "-300"),
        ("\"long\"", &long, DataType::Int32, "-300"),
        ("\"string\"", &string, DataType::Utf8, "a"),
        (optional, &one, DataType::Int64, "5"),
        (optional, &none, DataType::Int64, "null"),
        (money, &paid, DataType::Decimal128(18, 2), "12.50"),
        (uuid, &[0xab; 16], UUID, "abababababababababababababababab"),
    ];
    for (schema, bytes, data_type, expected) in cases {
        let spec = source(schema, vec![from_key("id", "id", data_type)]);
        let (rows, reasons) = decoded_keys(&spec, &[Some(bytes)]);
        assert_eq!(reasons, [""; 0], "{schema}");
        assert_eq!(rows, [format!("create {expected} 1")], "{schema}");
    }
}

#[test]
fn a_key_that_cannot_be_read_is_a_dead_letter_that_says_so() {
    let good = order(7, Some("Bonn"), 1);
    let longer = [&*good, &[1]].concat();
    let far = order(i64::MAX, None, 1);
    let keys = [
        None,
        Some(&[][..]),
        Some(&good[..4]),
        Some(&longer),
        Some(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        Some(&far),
    ];
    let columns = vec![
        key("id", DataType::Int32),
        from_key("shop", "shop", DataType::Utf8),
    ];
    let (rows, reasons) = decoded_keys(&source(ORDER, columns), &keys);
    assert_eq!(rows, [""; 0]);
    assert_eq!(
        reasons,
        [
            "the record has no key, which the columns of the option 'key' are read from",
            "key: invalid Avro at byte 0, field 'id': truncated: the record ends within a number",
            "key: invalid Avro at byte 2, field 'shop': a length of 4 bytes, where 1 are left",
            "key: invalid Avro at byte 8: the record goes on for 1 bytes after its end",
            "key: invalid Avro at byte 0, field 'id': a number of more than 64 bits",
            "key: field 'id': expected INT, found 9223372036854775807 (out of range)",
        ]
    );
    let one = source("\"long\"", vec![key("id", DataType::Int64)]);
    let (_, reasons) = decoded_keys(&one, &[Some(&[])]);
    assert_eq!(
        reasons,
        ["key: invalid Avro at byte 0, field 'id': truncated: the record ends within a number"]
    );
    let text = source("\"string\"", vec![key("id", DataType::Int64)]);
    let (_, reasons) = decoded_keys(&text, &[Some(b"\x02x")]);
    assert_eq!(reasons, ["key: field 'id': expected BIGINT, found x"]);
}

#[test]
fn a_delete_whose_key_is_null_is_a_dead_letter() {
    let optional = r#"["null", "long"]"#;
    let spec = source(optional, vec![key("id", DataType::Int64)]);
    let records = keyed(&[(Some(&[0]), None), (Some(&[2, 14]), None)]);
    let decoded = decode(&mut *spec.decoder().unwrap(), &records);
    assert_eq!(shown(&decoded.rows), ["delete 7 null"]);
    assert_eq!(
        reasons(&decoded),
        ["key: field 'id': expected BIGINT NOT NULL, found null"]
    );
}

#[test]
fn keys_that_no_column_reads_are_not_looked_at() {
    let spec = source(ORDER, vec![]);
    let (rows, reasons) = decoded_keys(&spec, &[None, Some(&[]), Some(b"garbage")]);
    assert_eq!(reasons, [""; 0]);
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_wrong_schema_of_keys_is_refused_with_its_option() {
    let error = |schema: &str, columns: Vec<Column>| {
        let error = source(schema, columns).decoder().err();
        error.unwrap().to_string()
    };
    let id = || vec![key("id", DataType::Int64)];
    let two = || vec![key("id", DataType::Int64), key("shop", DataType::Utf8)];
    assert_eq!(
        error("", id()),
        "option 'key.avro.schema' is ''; expected the schema that the keys were written by, in JSON"
    );
    assert_eq!(
        error("{", id()),
        "option 'key.avro.schema' is '{'; expected an Avro schema in JSON: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(
        error(ORDER, vec![key("shopp", DataType::Utf8)]),
        "column 'shopp' stands for the field 'shopp', which 'key.avro.schema' does not have; name another one, or leave the column out"
    );
    assert_eq!(
        error("\"long\"", two()),
        "column 'id' stands for the field 'id', which 'key.avro.schema' does not have; name another one, or leave the column out"
    );
    let spec = source(ORDER, id()).with("key.avro.framing", "kafka");
    assert_eq!(
        spec.decoder().err().unwrap().to_string(),
        "option 'key.avro.framing' is 'kafka'; expected 'none' or 'confluent'"
    );
    let spec = source(ORDER, id()).with("key.format", "csv");
    assert_eq!(
        spec.decoder().err().unwrap().to_string(),
        "option 'key.format' is 'csv'; expected 'json', 'avro', 'protobuf', or 'raw' for a key of one column"
    );
}

/// Rows with a key of an id, a shop that may be null, and a day.
fn rows() -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(Int64Array::from(vec![1, 2])) as _, false),
        ("id", Arc::new(Int64Array::from(vec![7, -300])) as _, false),
        (
            "shop",
            Arc::new(StringArray::from(vec![Some("Bonn"), None])) as _,
            true,
        ),
        (
            "day",
            Arc::new(Date32Array::from(vec![1, 20_000])) as _,
            false,
        ),
    ])
    .unwrap()
}

/// A sink in JSON whose keys are in Avro.
struct Sink<'a> {
    key: &'a [&'a str],
    options: &'a [(&'a str, &'a str)],
    contract: Option<Contract>,
}

impl Sink<'_> {
    fn with<T>(&self, use_it: impl FnOnce(&SinkSpec<'_>) -> T) -> T {
        let all = [("key.format", "avro")].iter().chain(self.options);
        let options: Options = all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let key: Vec<_> = self.key.iter().map(|&name| name.to_owned()).collect();
        use_it(&SinkSpec {
            envelope: "upsert",
            schema: &rows().schema(),
            key: &key,
            metadata: None,
            contract: None,
            key_contract: self.contract.as_ref(),
            options: &options,
        })
    }

    fn schema(&self) -> Result<String, Error> {
        self.with(|spec| Format.key_contract_schema(spec, None))
    }

    /// The keys of all rows.
    fn written(&self) -> Result<Vec<Vec<u8>>, Error> {
        let encoder = self.with(|spec| Json.encoder(spec))?;
        let rows = rows();
        let bound = encoder.bind(&rows, 0)?;
        let key = |row| {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            bound.write_key(row, &mut key);
            bound.write_value(Change::Insert(row), &mut value);
            assert!(value.starts_with(b"{\"n\":"));
            key
        };
        Ok((0..rows.num_rows()).map(key).collect())
    }
}

const BARE: Sink<'_> = Sink {
    key: &["id"],
    options: &[],
    contract: None,
};

#[test]
fn one_key_column_is_written_as_its_value_and_several_as_a_record() {
    assert_eq!(BARE.schema().unwrap(), "\"long\"");
    let keys = BARE.written().unwrap();
    assert_eq!(read_by_apache("\"long\"", &keys[0]), Avro::Long(7));
    assert_eq!(read_by_apache("\"long\"", &keys[1]), Avro::Long(-300));
    let optional = Sink {
        key: &["shop"],
        ..BARE
    };
    let schema = optional.schema().unwrap();
    assert_eq!(schema, r#"["null","string"]"#);
    let keys = optional.written().unwrap();
    let (some, none) = (text("Bonn"), Avro::Null);
    assert_eq!(
        read_by_apache(&schema, &keys[0]),
        Avro::Union(1, Box::new(some))
    );
    assert_eq!(
        read_by_apache(&schema, &keys[1]),
        Avro::Union(0, Box::new(none))
    );
    let several = Sink {
        key: &["day", "id"],
        ..BARE
    };
    let schema = several.schema().unwrap();
    assert_eq!(
        schema,
        r#"{"type":"record","name":"key","fields":[{"name":"day","type":{"type":"int","logicalType":"date"}},{"name":"id","type":"long"}]}"#
    );
    let keys = several.written().unwrap();
    assert_eq!(
        read_by_apache(&schema, &keys[1]),
        record_of(&[("day", Avro::Date(20_000)), ("id", Avro::Long(-300))])
    );
}

#[test]
fn a_key_with_a_name_is_a_record_and_what_is_written_is_read_back() {
    let named = Sink {
        options: &[("key.avro.name", "shop.OrderKey")],
        ..BARE
    };
    assert_eq!(
        named.schema().unwrap(),
        r#"{"type":"record","name":"shop.OrderKey","fields":[{"name":"id","type":"long"}]}"#
    );
    let all = Sink {
        key: &["id", "shop", "day"],
        ..BARE
    };
    let columns = vec![
        key("id", DataType::Int64),
        from_key("shop", "shop", DataType::Utf8),
        key("day", DataType::Date32),
    ];
    let keys = all.written().unwrap();
    let keys: Vec<_> = keys.iter().map(|key| Some(&**key)).collect();
    let (rows, reasons) = decoded_keys(&source(&all.schema().unwrap(), columns), &keys);
    assert_eq!(reasons, [""; 0]);
    assert_eq!(
        rows,
        [
            "create 7 Bonn 1970-01-02 1",
            "create -300 null 2024-10-04 1"
        ]
    );
}

#[test]
fn a_key_with_a_contract_has_its_number_in_front() {
    let subject = Subject(vec![schema_text("\"long\"")]);
    let registered = || Sink {
        contract: Some(subject.contract(1)),
        ..BARE
    };
    assert_eq!(registered().written().unwrap()[0], [0, 0, 0, 0, 71, 14]);
    let bare = Sink {
        options: &[("key.avro.framing", "none")],
        ..registered()
    };
    assert_eq!(bare.written().unwrap()[0], [14]);
    let alone = Sink {
        options: &[("key.avro.framing", "confluent")],
        ..BARE
    };
    assert_eq!(
        alone.written().err().unwrap().to_string(),
        "option 'key.avro.framing' is 'confluent'; expected 'none' for a sink without schema.registry.url: a schema's number comes from a registry"
    );
}

#[test]
fn names_that_avro_does_not_have_are_refused_with_their_option() {
    let named = Sink {
        options: &[("key.avro.name", "order-key")],
        ..BARE
    };
    let error = named.written().err().unwrap().to_string();
    assert!(
        error.starts_with("option 'key.avro.name' is 'order-key'; expected "),
        "{error}"
    );
    let missing = Sink {
        key: &["ids"],
        ..BARE
    };
    assert_eq!(
        missing.written().err().unwrap().to_string(),
        "the key column 'ids' is not among the columns; name others in the option 'key'"
    );
}

/// A source in JSON whose keys are in Avro by the schemas of a registry.
fn registered(versions: &[&str], planned_with: Option<usize>, columns: Vec<Column>) -> Spec {
    let subject = Subject(versions.iter().map(|text| schema_text(text)).collect());
    let planned = planned_with.map(|version| subject.contract(version));
    let mut spec = source("", columns);
    spec.options.remove("key.avro.schema");
    spec.key_contracts = Some((planned, Arc::new(subject)));
    spec
}

fn framed(version: usize, avro: &[u8]) -> Vec<u8> {
    super::contracts::framed(Subject::number(version), avro)
}

#[test]
fn every_key_is_read_by_the_schema_of_its_writer() {
    let id = r#"{"type": "record", "name": "k", "fields": [{"name": "id", "type": "long"}]}"#;
    let both = r#"{"type": "record", "name": "k", "fields": [{"name": "shop", "type": "string", "default": "Bonn"}, {"name": "id", "type": "long"}]}"#;
    let removed =
        r#"{"type": "record", "name": "k", "fields": [{"name": "shop", "type": "string"}]}"#;
    let versions = [id, both, removed, "\"long\"", "{"];
    let keys = [
        framed(1, &[14]),
        framed(2, b"\x02x\x10"),
        framed(1, &[18]),
        framed(3, b"\x02x"),
        framed(4, &[14]),
        framed(5, &[14]),
        framed(29, &[14]),
        framed(2, b"\x02"),
        b"\x00\x00".to_vec(),
        b"garbage".to_vec(),
        Vec::new(),
    ];
    let keys: Vec<_> = keys.iter().map(|key| Some(&**key)).chain([None]).collect();
    let columns = || vec![key("id", DataType::Int64), key("shop", DataType::Utf8)];
    let (rows, reasons) = decoded_keys(&registered(&versions, Some(2), columns()), &keys);
    assert_eq!(rows, ["create 7 Bonn 1", "create 8 x 1", "create 9 Bonn 1"]);
    assert_eq!(
        reasons,
        [
            "key: schema 73 ('orders-value' version 3), by which it was written, has no field 'id' any more, which column 'id' is read from; the job was planned with version 2",
            "key: schema 74 ('orders-value' version 4), by which it was written, is not that of a record",
            "key: schema 75 ('orders-value' version 5), by which it was written, is no Avro schema: EOF while parsing an object at line 1 column 1",
            "key: the registry has no schema 99, which stands in front of the record",
            "key: invalid Avro at byte 5, field 'shop': a length of 1 bytes, where 0 are left",
            "key: truncated: expected a zero byte and the schema's number in four bytes, found 2 bytes",
            "key: not in Confluent's framing: expected the first byte to be 0, found 103",
            "key: truncated: expected a zero byte and the schema's number in four bytes, found 0 bytes",
            "the record has no key, which the columns of the option 'key' are read from",
        ]
    );
}

#[test]
fn a_key_of_a_single_value_is_compared_with_its_contract() {
    let versions = ["\"long\"", "\"string\"", r#"["null", "int"]"#, ORDER];
    let keys = [
        framed(1, &[14]),
        framed(3, &[2, 16]),
        framed(2, b"\x02x"),
        framed(4, &order(7, None, 1)),
        framed(1, &[]),
    ];
    let keys: Vec<_> = keys.iter().map(|key| Some(&**key)).collect();
    let columns = || vec![key("id", DataType::Int64)];
    let (rows, reasons) = decoded_keys(&registered(&versions, Some(1), columns()), &keys);
    assert_eq!(rows, ["create 7 1", "create 8 1"]);
    assert_eq!(
        reasons,
        [
            "key: schema 72 ('orders-value' version 2), by which it was written, is that of a string, which column 'id' is read from; version 1, which the job was planned with, is that of a long",
            "key: schema 74 ('orders-value' version 4), by which it was written, is that of a record, which column 'id' is read from; version 1, which the job was planned with, is that of a long",
            "key: invalid Avro at byte 5, field 'id': truncated: the record ends within a number",
        ]
    );
    // Without a version to plan with, each is what its writer made it.
    let (rows, reasons) = decoded_keys(&registered(&versions, None, columns()), &keys[..4]);
    assert_eq!(rows, ["create 7 1", "create 8 1", "create 7 1"]);
    assert_eq!(reasons, ["key: field 'id': expected BIGINT, found x"]);
}

#[test]
fn what_does_not_go_with_a_registry_is_refused() {
    let columns = || vec![key("id", DataType::Int64), key("shop", DataType::Utf8)];
    let error = |spec: Spec| spec.decoder().err().unwrap().to_string();
    let long = registered(&["\"long\""], Some(1), columns());
    assert_eq!(
        error(long.clone()),
        "column 'id' stands for the field 'id', which ''orders-value' version 1 (id 71)' does not have; name another one, or leave the column out"
    );
    assert_eq!(
        error(long.with("key.avro.schema", "\"long\"")),
        "option 'key.avro.schema' is 'a schema'; expected no such option beside a registry, which has the schemas"
    );
    let none = registered(&["\"long\""], None, columns()).with("key.avro.framing", "none");
    assert_eq!(
        error(none),
        "option 'key.avro.framing' is 'none'; expected 'confluent', as the subject has no version yet"
    );
}

/// The schemas of Debezium's records, as Confluent's converter registered them.
#[derive(Debug)]
struct Converted(Value);

impl Schemas for Converted {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        let schema = schema_text(&self.0.get(id.to_string())?.to_string());
        Some(Arc::new(WriterSchema {
            schema,
            places: Vec::new(),
        }))
    }
}

#[test]
fn keys_that_confluent_s_converter_wrote_are_those_of_the_rows() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/corpus/debezium/postgres"
    );
    let file = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
    let schemas: Value = serde_json::from_str(&file("avro-schemas.json")).unwrap();
    let schemas: Arc<dyn Schemas> = Arc::new(Converted(schemas));
    let cases: [(&str, &[(&str, DataType)]); 2] = [
        ("payment", &[("id", DataType::Int64)]),
        (
            "ledger",
            &[("account", DataType::Utf8), ("seq", DataType::Int32)],
        ),
    ];
    for (topic, names) in cases {
        let of_key = names.iter().map(|(name, of)| Column {
            name: format!("key_{name}"),
            ..from_key(name, name, of.clone())
        });
        let columns = of_key.chain(names.iter().map(|(name, of)| data(name, of.clone())));
        let mut spec = Spec::new("debezium", columns.collect())
            .in_format("avro")
            .with("key.format", "avro");
        spec.contracts = Some((None, Arc::clone(&schemas)));
        spec.key_contracts = Some((None, Arc::clone(&schemas)));
        let records = file(&format!("avro.{topic}.jsonl"));
        let records = records.lines().map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let bytes = |part: &str| Some(BASE64_STANDARD.decode(record[part].as_str()?).unwrap());
            (bytes("key"), bytes("value"))
        });
        let records: Vec<_> = records.collect();
        let records = records
            .iter()
            .map(|(key, value)| (key.as_deref(), value.as_deref()));
        let decoded = decode(
            &mut *spec.decoder().unwrap(),
            &keyed(&records.collect::<Vec<_>>()),
        );
        let reasons = reasons(&decoded);
        let mut others = reasons
            .iter()
            .filter(|reason| !reason.contains("truncated"));
        assert_eq!(others.next(), None, "{topic}");
        assert!(decoded.rows.num_rows() > 4, "{topic}");
        for (name, _) in names {
            let of_key = &decoded.rows[format!("key_{name}").as_str()];
            assert_eq!(of_key, &decoded.rows[*name], "{topic}: {name}");
        }
    }
}

#[test]
fn what_python_s_libraries_wrote_is_read_from_keys_as_from_values() {
    let cases = [
        ("bare", 1, "none"),
        ("damaged", 1, "none"),
        ("confluent", 1, "confluent"),
    ];
    for (file, id, framing) in cases {
        let values: Vec<_> = corpus::values(file).into_iter().flatten().collect();
        assert!(values.len() > 5, "{file}");
        for (path, data_type) in corpus::columns() {
            let spec = super::source(&corpus::schema(id), vec![at("x", path, data_type)]);
            spec.with("avro.framing", framing)
                .is_read_alike_from_keys(&values);
        }
    }
}

#[test]
fn the_columns_that_a_contract_has_of_a_key_are_its_fields_or_its_value() {
    let columns = |schema: &str, names: &[&str]| {
        let contract = Subject(vec![schema_text(schema)]).contract(1);
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        Format
            .key_contract_columns(&contract, &names, &Options::new())
            .unwrap()
    };
    assert_eq!(
        columns(ORDER, &["shop", "id", "other"]),
        [
            key("id", DataType::Int64),
            from_key("shop", "shop", DataType::Utf8)
        ]
    );
    assert_eq!(
        columns(r#"["null", "long"]"#, &["id"]),
        [from_key("id", "id", DataType::Int64)]
    );
    assert_eq!(columns("\"long\"", &["id", "shop"]), []);
}
