//! Values of every type come there as they were given, into a table that the connector makes and into one with other types that hold them;
//! whatever names things have.

mod common;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use common::{Database, parcel};
use tidemill_types::sql_type;

/// A column of each type: its name, the type that a table is made with, two values as JSON writes them, and both as PostgreSQL shows them.
const COLUMNS: &str = r#"
id | bigint | 9223372036854775807 | -1 | 9223372036854775807 | -1
b | boolean | true | false | true | false
i2 | smallint | -32768 | 0 | -32768 | 0
i4 | integer | 2147483647 | 0 | 2147483647 | 0
u8 | numeric | 18446744073709551615 | 0 | 18446744073709551615 | 0
r | real | 0.1 | -1e-7 | 0.1 | -1e-07
d | double precision | 0.1 | 1.7976931348623157e308 | 0.1 | 1.7976931348623157e+308
m | numeric | "999999999999999999999999999999999999.99" | "-0.10" | 999999999999999999999999999999999999.99 | -0.10
t | text | "é \"\\ 🎬 null" | "" | é "\ 🎬 null |
day | date | "0001-01-01" | "9999-12-31" | 0001-01-01 | 9999-12-31
at | timestamp with time zone | "0001-01-01T00:00:00.001Z" | "2026-03-29T01:30:00.250Z" | 0001-01-01 00:00:00.001+00 | 2026-03-29 01:30:00.25+00
u | uuid | "0190f3a1-7b2c-7def-8123-456789abcdef" | "00000000-0000-0000-0000-000000000000" | 0190f3a1-7b2c-7def-8123-456789abcdef | 00000000-0000-0000-0000-000000000000
y | bytea | "AAH/" | "" | \x0001ff | \x
l | jsonb | ["new",null] | [] | ["new", null] | []
s | jsonb | {"city":"Bonn","zip":null} | {"city":"","zip":53111} | {"zip": null, "city": "Bonn"} | {"zip": 53111, "city": ""}
p | jsonb | {"caps":null,"pens":9007199254740993} | {} | {"caps": null, "pens": 9007199254740993} | {}
"#;

struct Column {
    name: &'static str,
    made: &'static str,
    given: [&'static str; 2],
    shown: [&'static str; 2],
}

fn every_type() -> impl Iterator<Item = Column> {
    let lines = COLUMNS.trim().lines();
    lines.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let mut next = || cells.next().expect("a line has six cells");
        Column {
            name: next(),
            made: next(),
            given: [next(), next()],
            shown: [next(), next()],
        }
    })
}

fn data_type(column: &str) -> DataType {
    match column {
        "id" => DataType::Int64,
        "b" => DataType::Boolean,
        "i2" => DataType::Int16,
        "i4" => DataType::Int32,
        "u8" => DataType::UInt64,
        "r" => DataType::Float32,
        "d" => DataType::Float64,
        "m" => DataType::Decimal128(38, 2),
        "t" => DataType::Utf8,
        "day" => DataType::Date32,
        "at" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "u" => DataType::FixedSizeBinary(16),
        "y" => DataType::Binary,
        "l" => sql_type::array(DataType::Utf8),
        "s" => sql_type::structure([
            ("city".to_owned(), DataType::Utf8),
            ("zip".to_owned(), DataType::Int32),
        ]),
        "p" => sql_type::map(DataType::Int64),
        other => panic!("{other}"),
    }
}

/// The records of all types: both rows, and one of nulls.
fn records() -> Vec<(String, Option<String>)> {
    let row = |which: usize| {
        let members =
            every_type().map(|column| format!("\"{}\":{}", column.name, column.given[which]));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let nulls = every_type().skip(1);
    let nulls: String = nulls
        .map(|column| format!(",\"{}\":null", column.name))
        .collect();
    let [first, second] = ["9223372036854775807", "-1"].map(str::to_owned);
    vec![
        (first, Some(row(0))),
        (second, Some(row(1))),
        ("0".to_owned(), Some(format!("{{\"id\":0{nulls}}}"))),
    ]
}

fn schema() -> Schema {
    let field =
        |column: Column| Field::new(column.name, data_type(column.name), column.name != "id");
    Schema::new(every_type().map(field).collect::<Vec<_>>())
}

#[test]
fn every_type_is_there_as_it_was_given() {
    let mut database = Database::new();
    let mut sink = database.sink();
    sink.schema = schema();
    let (mut delivery, _) = sink.open().unwrap();
    assert_eq!(delivery.deliver(&[parcel(1, records())]).unwrap(), []);
    database.run("SET TimeZone = 'UTC'");
    for Column {
        name, made, shown, ..
    } in every_type()
    {
        let types = database.ask(&format!("SELECT DISTINCT pg_typeof({name})::text FROM t"));
        assert_eq!(types, [made], "{name}");
        for (id, shown) in ["9223372036854775807", "-1"].into_iter().zip(shown) {
            let there = database.ask(&format!("SELECT {name}::text FROM t WHERE id = {id}"));
            assert_eq!(there, [shown], "{name}");
        }
        let null = database.ask(&format!("SELECT {name}::text FROM t WHERE id = 0"));
        assert_eq!(null, [if name == "id" { "0" } else { "-" }], "{name}");
    }
}

#[test]
fn a_table_of_other_types_that_hold_the_values_is_taken_as_it_is() {
    let mut database = Database::new();
    database.run(
        "SET TimeZone = 'UTC'; CREATE TABLE t (more text DEFAULT 'more', p json, l json, s json, y bytea, u uuid, at timestamp(3), day date, t varchar(99), \
         m numeric, d double precision, r real, u8 numeric, i4 bigint, i2 numeric(10,3), b boolean, id numeric(20,0) NOT NULL, UNIQUE (id))",
    );
    let mut sink = database.sink().with("create", "false");
    sink.schema = schema();
    // The table of the progress is not made either.
    let refused = sink.refusal().message;
    database.run(refused.split_once("run: ").unwrap().1);
    let (mut delivery, _) = sink.open().unwrap();
    assert_eq!(delivery.deliver(&[parcel(1, records())]).unwrap(), []);
    let there = database.ask(
        "SELECT i4::text, i2::text, at::text, p::text, more FROM t WHERE id = 9223372036854775807",
    );
    assert_eq!(
        there,
        [
            r#"2147483647 -32768.000 0001-01-01 00:00:00.001 {"caps": null, "pens": 9007199254740993} more"#
        ]
    );
    let gone = ["-1", "0"].map(|key| (key, None::<&str>));
    assert_eq!(delivery.deliver(&[parcel(2, gone)]).unwrap(), []);
    assert_eq!(database.ask("SELECT count(*)::text FROM t"), ["1"]);
}

#[test]
fn names_may_have_any_characters() {
    let mut database = Database::new();
    let names = ["a\"b", "c.d'; DROP TABLE t; --", "{\"e\": \\"];
    database.run("CREATE SCHEMA \"an \"\"odd\"\" schema\"");
    let mut sink = database
        .sink()
        .with("table", "\"an \"\"odd\"\" schema\".\"a.b'c\\\"");
    sink.job = "job's \\ \"job\"".to_owned();
    sink.name = "sink's \\' sink".to_owned();
    let field = |name| Field::new(name, DataType::Utf8, true);
    sink.schema = Schema::new(names.map(field).to_vec());
    sink.key = vec![names[1].to_owned(), names[0].to_owned()];
    let (mut delivery, _) = sink.open().unwrap();
    let row = |label: &str| {
        let key = serde_json::json!({names[0]: "1", names[1]: "2"});
        let value = serde_json::json!({names[0]: "1", names[1]: "2", names[2]: label});
        (key.to_string(), value.to_string())
    };
    for (epoch, label) in [(1, "first"), (2, "second")] {
        let (key, value) = row(label);
        let delivered = delivery.deliver(&[parcel(epoch, [(key, Some(value))])]);
        assert_eq!(delivered.unwrap(), []);
        let there = database.ask("SELECT t::text FROM \"an \"\"odd\"\" schema\".\"a.b'c\\\" t");
        assert_eq!(there, [format!("(1,2,{label})")]);
    }
    assert_eq!(sink.open().unwrap().1, 2);
    let (mut delivery, _) = sink.open().unwrap();
    let gone = parcel(3, [(row("").0, None::<&str>)]);
    assert_eq!(delivery.deliver(&[gone]).unwrap(), []);
    let there = database.ask("SELECT count(*)::text FROM \"an \"\"odd\"\" schema\".\"a.b'c\\\"");
    assert_eq!(there, ["0"]);
    let other = delivery.open("history-2").unwrap_err();
    // What a message says to run can be run, whatever the names.
    database.run(other.message.split_once("run: ").unwrap().1);
    assert_eq!(delivery.open("history-2").unwrap().0, 0);
}

#[test]
fn a_table_of_nothing_but_its_key_and_one_without_a_key_are_filled() {
    let mut database = Database::new();
    let mut keys = database.sink().with("table", "keys");
    keys.key = vec!["id".to_owned(), "label".to_owned()];
    let (mut delivery, _) = keys.open().unwrap();
    let row = r#"{"id":1,"label":"a"}"#;
    for epoch in 1..=2 {
        let same = parcel(epoch, [(row, Some(row))]);
        assert_eq!(delivery.deliver(&[same]).unwrap(), []);
    }
    assert_eq!(database.ask("SELECT k::text FROM keys k"), ["(1,a)"]);
    let mut rows = database.sink().of_rows().with("table", "rows");
    rows.name = "rows".to_owned();
    let (mut delivery, _) = rows.open().unwrap();
    let three = [("", Some(row)), ("", Some(row)), ("", None)];
    let rejected = delivery.deliver(&[parcel(1, three)]).unwrap();
    assert_eq!((rejected.len(), rejected[0].record), (1, 2));
    assert_eq!(database.ask("SELECT count(*)::text FROM rows"), ["2"]);
}

#[test]
fn what_has_no_place_in_a_table_is_refused_before_anything_connects() {
    let sink = Database::new().sink();
    let refused = |sink: &common::Sink| sink.try_delivery().err().unwrap().message;
    let mut odd = sink.clone();
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
    odd.schema = Schema::new(vec![Field::new("id", nanoseconds, false)]);
    assert!(refused(&odd).contains("CAST it"), "{}", refused(&odd));
    odd.schema = Schema::new(vec![Field::new("x".repeat(64), DataType::Utf8, false)]);
    assert!(refused(&odd).contains("rename it"), "{}", refused(&odd));
    let mut keyless = sink.clone();
    keyless.key.clear();
    assert!(refused(&keyless).contains("add key = "));
    let mut changes = sink;
    changes.contents = tidemill_types::format::Contents::Changes;
    assert!(refused(&changes).contains("envelope = 'plain'"));
}
