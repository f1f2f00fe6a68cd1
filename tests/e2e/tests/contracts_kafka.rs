//! Contracts on a real registry (Apicurio) and a real Kafka: columns that are taken from one, sinks that are registered, writers that go on to a
//! newer schema, and a registry that is away.
//!
//! Needs `scripts/setup.sh kafka registry`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_connectors_api::registry::{Registry, Schema, SchemaKind};
use tidemill_connectors_registry::Confluent;
use tidemill_tests_broker::registry::Apicurio;
use tidemill_tests_e2e::binaries::tidemill;
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::jobs::{run, text};
use tidemill_tests_e2e::process::{Live, call};
use tidemill_tests_e2e::registry;

const ID: &str = r#"{"name": "id", "type": "long"}"#;
const CITY: &str = r#"{"name": "city", "type": ["null", "string"], "default": null}"#;
const NOTE: &str = r#"{"name": "note", "type": ["null", "string"], "default": null}"#;

struct World {
    broker: Broker,
    registry: Apicurio,
    client: Confluent,
    folder: TempDir,
}

impl World {
    fn new(name: &str) -> Self {
        let registry = registry::start(&format!("{name}-registry"));
        let world = Self {
            broker: Broker::start(name),
            client: registry::client(&registry),
            registry,
            folder: TempDir::new().unwrap(),
        };
        world.broker.create_topic("orders", 2);
        world
    }

    /// Registers a version of the orders' schema; returns its id.
    fn register(&self, fields: &[&str]) -> u32 {
        let fields = fields.join(", ");
        let text = format!(r#"{{"type": "record", "name": "order", "fields": [{fields}]}}"#);
        self.register_as(SchemaKind::Avro, text)
    }

    fn register_as(&self, kind: SchemaKind, text: String) -> u32 {
        let schema = Schema::new(kind, text);
        let registered = self.client.register("orders-value", &schema);
        registered.unwrap().id.0
    }

    fn publish(&self, partition: u32, id: u32, encoded: &[u8]) {
        let record = [&[0], &id.to_be_bytes()[..], encoded].concat();
        self.broker.publish("orders", &[(partition, &record)]);
    }

    fn write(&self, name: &str, statements: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.sql"));
        let kafka = format!(
            "connector = 'kafka', bootstrap.servers = '{}'",
            self.broker.bootstrap()
        );
        let registry = format!("schema.registry.url = '{}'", self.registry.url());
        let statements = statements.replace("KAFKA", &kafka);
        fs::write(&path, statements.replace("REGISTRY", &registry)).unwrap();
        path
    }

    /// From Avro to Avro, without a column that is declared.
    fn copies(&self, column: &str) -> PathBuf {
        self.copies_in("avro", "avro.name = 'studio.copy'", column)
    }

    fn copies_in(&self, format: &str, name: &str, column: &str) -> PathBuf {
        self.write(
            column,
            &format!(
                "CREATE SOURCE orders WITH (KAFKA, topic = 'orders', format = '{format}', REGISTRY);
                 CREATE STREAM order_events FROM orders;
                 CREATE SINK copies WITH (KAFKA, topic = 'copies', format = '{format}', REGISTRY, {name})
                 AS SELECT id, {column} FROM order_events;
                 CREATE SINK dead WITH (KAFKA, topic = 'dead', format = 'json')
                 AS SELECT \"partition\", \"offset\", reason FROM tidemill_dead_letters;"
            ),
        )
    }

    fn job(&self, sql: &std::path::Path, name: &str) -> Command {
        let state = self.folder.path().join(format!("{name}-state"));
        run(sql, name, &state, 2, &["--until-caught-up"])
    }

    fn catch_up(&self, sql: &std::path::Path, name: &str) {
        call(self.job(sql, name)).good();
    }

    /// The copies as a job of its own reads them by the contract that the sink registered.
    fn copied(&self, name: &str) -> Vec<Value> {
        self.copied_in("avro", name)
    }

    fn copied_in(&self, format: &str, name: &str) -> Vec<Value> {
        let sql = self.write(
            name,
            &format!(
                "CREATE SOURCE copies WITH (KAFKA, topic = 'copies', format = '{format}', REGISTRY);
                 CREATE STREAM copy FROM copies;
                 CREATE SINK out WITH (KAFKA, topic = '{name}', format = 'json') AS SELECT id, city FROM copy;"
            ),
        );
        self.catch_up(&sql, name);
        self.rows(name)
    }

    /// What a topic has in JSON, by id.
    fn rows(&self, topic: &str) -> Vec<Value> {
        let rows = self.broker.committed(topic).into_iter();
        let rows = rows.filter_map(|(_, value, _)| value);
        let mut rows: Vec<Value> = rows
            .map(|row| serde_json::from_str(&row).unwrap())
            .collect();
        rows.sort_by_key(|row| row["id"].as_i64());
        rows
    }

    fn letters(&self) -> Vec<String> {
        let rows = self.broker.committed("dead").into_iter();
        let rows = rows.filter_map(|(_, value, _)| value);
        let reason = |row: String| {
            let row: Value = serde_json::from_str(&row).unwrap();
            row["reason"].as_str().unwrap().to_owned()
        };
        rows.map(reason).collect()
    }

    fn contracts(&self, arguments: &[&str]) -> Command {
        let url = self.registry.url();
        tidemill(&[&["contracts"], arguments, &["--registry", &url]].concat())
    }
}

#[test]
fn a_job_takes_its_columns_from_a_contract_and_goes_on_while_writers_and_registry_change() {
    let world = World::new("contracts");
    let first = world.register(&[ID, CITY]);
    world.publish(0, first, b"\x02\x02\x08Rome");
    world.publish(1, first, b"\x04\x00");
    let sql = world.copies("city");

    // Nothing is registered by a look.
    let checked = tidemill(&["contracts", "check", text(&sql)]);
    let checked = call(checked).good();
    assert!(
        checked.contains("source orders: 'orders-value': has its columns in version 1"),
        "{checked}"
    );
    assert!(
        checked.contains("sink copies: 'copies-value': is its first version"),
        "{checked}"
    );
    assert_eq!(world.client.versions("copies-value").unwrap(), [0; 0]);

    world.catch_up(&sql, "copying");
    assert_eq!(world.client.versions("copies-value").unwrap(), [1]);
    let rows = [
        json!({"id": 1, "city": "Rome"}),
        json!({"id": 2, "city": null}),
    ];
    assert_eq!(world.copied("first"), rows);

    // A writer with one more field changes nothing; one without the column makes a dead letter that names it.
    let second = world.register(&[ID, CITY, NOTE]);
    let third = world.register(&[ID, NOTE]);
    world.publish(0, second, b"\x06\x02\x08Bonn\x00");
    world.publish(0, third, b"\x08\x00");
    world.publish(1, 4_000_000, b"\x0a");
    world.catch_up(&sql, "copying");
    assert_eq!(world.copied("second").len(), 3);
    let mut letters = world.letters();
    letters.sort();
    assert_eq!(
        letters,
        [
            format!(
                "schema {third} ('orders-value' version 3), by which it was written, has no field 'city' any more, which column 'city' is read from; the job was planned with version 1"
            ),
            "the registry has no schema 4000000, which stands in front of the record".to_owned(),
        ]
    );

    // A restart asks nobody, and what names schemas that were seen is read without the registry.
    world.registry.stop().unwrap();
    world.publish(1, second, b"\x0c\x02\x08Lima\x00");
    world.catch_up(&sql, "copying");
    assert_eq!(world.letters().len(), 2);
    let live = Live::start(world.job(&sql, "copying"));
    live.ends().good();
}

#[test]
fn messages_of_protobuf_have_contracts_as_records_of_avro_have() {
    let world = World::new("protobuf-contracts");
    let order = |fields: &str| {
        let text = format!(
            "syntax = \"proto3\"; package shop; message Note {{ string text = 1; }} message Order {{ int64 id = 1; {fields} }}"
        );
        world.register_as(SchemaKind::Protobuf, text)
    };
    let first = order("optional string city = 2;");
    // The second message of its file: a path of one step, to place 1.
    world.publish(0, first, b"\x02\x02\x08\x01\x12\x04Rome");
    world.publish(1, first, b"\x02\x02\x08\x02");
    world.publish(1, first, b"\x00\x0a\x01x");
    let message = "protobuf.message = 'studio.Copy'";
    let sql = world.copies_in("protobuf", message, "city");
    let statements = fs::read_to_string(&sql).unwrap();
    let named = "topic = 'orders', protobuf.message = 'shop.Order',";
    fs::write(&sql, statements.replace("topic = 'orders',", named)).unwrap();
    world.catch_up(&sql, "copying");
    assert_eq!(world.client.versions("copies-value").unwrap(), [1]);
    let rows = [
        json!({"id": 1, "city": "Rome"}),
        json!({"id": 2, "city": null}),
    ];
    assert_eq!(world.copied_in("protobuf", "first"), rows);
    assert_eq!(
        world.letters(),
        ["the record is the message 'shop.Note', expected 'shop.Order'"]
    );

    let second = order("optional string city = 2; string note = 3;");
    let third = order("string note = 3;");
    world.publish(0, second, b"\x02\x02\x08\x03\x12\x04Bonn\x1a\x01x");
    world.publish(0, third, b"\x02\x02\x08\x04");
    world.catch_up(&sql, "copying");
    assert_eq!(world.copied_in("protobuf", "second").len(), 3);
    let letters = world.letters();
    let removed = "by which it was written, has no field 'city' any more";
    assert!(letters[1].contains(removed), "{letters:?}");

    // A restart asks nobody: not for the sink's schema, either.
    world.registry.stop().unwrap();
    world.publish(1, second, b"\x02\x02\x08\x06\x12\x04Lima");
    world.catch_up(&sql, "copying");
    assert_eq!(world.letters().len(), 2);
}

#[test]
fn a_sink_that_its_readers_could_not_read_is_refused_before_anything_runs() {
    let world = World::new("refused-contracts");
    let id = world.register(&[ID, CITY]);
    world.publish(0, id, b"\x02\x02\x08Rome");
    let registered = Schema::new(
        SchemaKind::Avro,
        r#"{"type": "record", "name": "studio.copy", "fields": [{"name": "id", "type": "long"}, {"name": "city", "type": "long"}]}"#,
    );
    world.client.register("copies-value", &registered).unwrap();
    world
        .registry
        .set_level("copies-value", "BACKWARD")
        .unwrap();
    let sql = world.copies("city");
    let refused = call(tidemill(&["contracts", "check", text(&sql)]));
    assert!(
        refused
            .stdout
            .contains("sink copies: 'copies-value': does not fit")
    );
    assert!(refused.stdout.contains("'city'"), "{}", refused.stdout);
    refused.failed_with(2);
    let offline = tidemill(&["contracts", "check", text(&sql), "--offline"]);
    let offline = call(offline).failed_with(2);
    assert!(
        offline
            .contains("'orders-value', and the registry was not asked: no server is asked offline"),
        "{offline}"
    );

    let said = call(world.job(&sql, "refused")).failed_with(2);
    assert!(said.contains("'city'"), "{said}");
    assert!(world.broker.committed("copies").is_empty());

    let listed = call(world.contracts(&["list"])).good();
    assert!(listed.contains("copies-value"), "{listed}");
    let shown = call(world.contracts(&["show", "orders-value", "--json"])).last();
    assert_eq!((&shown["version"], &shown["id"]), (&json!(1), &json!(id)));
    world.register(&[ID, CITY, NOTE]);
    let diff = call(world.contracts(&["diff", "orders-value", "1"])).good();
    assert!(diff.contains("'note'"), "{diff}");
    let said = call(world.contracts(&["show", "nobody"])).failed_with(2);
    assert!(said.contains("has no subject 'nobody'"), "{said}");
}

#[test]
fn keys_have_a_contract_of_their_own_that_one_job_registers_and_another_one_reads_by() {
    let world = World::new("contracts-of-keys");
    let id = world.register(&[ID, CITY]);
    world.publish(0, id, b"\x02\x02\x08Rome");
    world.publish(1, id, b"\x04\x00");
    let writing = world.write(
        "keys",
        "CREATE SOURCE orders WITH (KAFKA, topic = 'orders', format = 'avro', REGISTRY);
         CREATE TABLE all_orders (PRIMARY KEY (id)) FROM orders;
         CREATE SINK copies WITH (KAFKA, topic = 'copies', key = 'id', key.format = 'avro', REGISTRY) AS SELECT id, city FROM all_orders;",
    );
    let check = |sql: &std::path::Path| call(tidemill(&["contracts", "check", text(sql)])).good();
    let checked = check(&writing);
    assert!(
        checked.contains("sink copies: 'copies-key': is its first version"),
        "{checked}"
    );
    world.catch_up(&writing, "writing");
    let registered = world.client.latest("copies-key").unwrap().unwrap();
    assert_eq!(registered.schema.text, "\"long\"");

    let reading = world.write(
        "rows",
        "CREATE SOURCE copies (id BIGINT NOT NULL, city VARCHAR)
         WITH (KAFKA, topic = 'copies', envelope = 'upsert', key = 'id', key.format = 'avro', REGISTRY);
         CREATE STREAM copy FROM copies;
         CREATE SINK out WITH (KAFKA, topic = 'out', format = 'json') AS SELECT id, city FROM copy;",
    );
    let checked = check(&reading);
    assert!(
        checked.contains("source copies: 'copies-key': has its columns in version 1"),
        "{checked}"
    );
    world.catch_up(&reading, "reading");
    let rows = [
        json!({"id": 1, "city": "Rome"}),
        json!({"id": 2, "city": null}),
    ];
    assert_eq!(world.rows("out"), rows);
}
