//! Sources and sinks with a registry: the columns that they get, the version that stands in the plan, and what is refused.

mod common;

use tidemill_jobs::plan::JobPlan;
use tidemill_jobs::{Error, Profile};
use tidemill_types::ErrorKind;

const REGISTRY: &str = "connector = 'kafka', topic = 'orders', format = 'avro', schema.registry.url = 'http://there', schema.registry.bearer.auth.token = 'hush'";

fn plan(source: &str) -> Result<JobPlan, Error> {
    let sql = format!(
        "{source};
         CREATE STREAM s FROM orders;
         CREATE SINK o WITH (connector = 'kafka', topic = 'out', format = 'avro', schema.registry.url = 'http://there') AS SELECT * FROM s;"
    );
    common::plan("job", &sql, &Profile::default(), &|_| None)
}

fn refused(source: &str) -> (ErrorKind, String) {
    let error = plan(source).expect_err("it is refused");
    (error.kind(), error.to_string())
}

#[test]
fn a_source_without_columns_has_those_of_its_contract_and_the_plan_says_of_which_version() {
    let newest = plan(&format!("CREATE SOURCE orders WITH ({REGISTRY})")).unwrap();
    let text = newest.to_string();
    assert!(
        text.contains("source orders: kafka 'orders', plain avro, contract 'orders-value' version 2 (id 72); columns id BIGINT NOT NULL, city VARCHAR"),
        "{text}"
    );
    assert!(
        text.contains("plain avro, contract 'out-value', from"),
        "{text}"
    );
    assert!(
        text.contains("http://there") && !text.contains("hush"),
        "{text}"
    );
    let first = plan(&format!(
        "CREATE SOURCE orders WITH ({REGISTRY}, schema.version = '1')"
    ));
    let first = first.unwrap();
    assert_eq!(first.sources[0].columns.len(), 1);
    assert_ne!(first.hash(), newest.hash(), "it is another job");
}

#[test]
fn columns_of_metadata_and_a_watermark_stand_beside_those_of_the_contract() {
    let plan = plan(&format!(
        "CREATE SOURCE orders (at TIMESTAMP METADATA FROM 'timestamp', WATERMARK FOR at AS at - INTERVAL '5' SECOND) WITH ({REGISTRY})"
    ));
    let names: Vec<_> = plan.unwrap().sources[0]
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    assert_eq!(names, ["id", "city", "at"]);
    let declared = self::plan(&format!("CREATE SOURCE orders (id INT) WITH ({REGISTRY})"));
    assert_eq!(declared.unwrap().sources[0].columns.len(), 1);
}

/// The plan of a job that reads these columns of a source with keys, and writes them with keys.
fn keyed(options: &str, read: &str) -> Result<String, Error> {
    let sql = format!(
        "CREATE SOURCE orders (id BIGINT NOT NULL, city VARCHAR) WITH (connector = 'kafka', topic = 'orders', key = 'id', {options});
         CREATE STREAM s FROM orders;
         CREATE SINK o WITH (connector = 'kafka', topic = 'out', key = '{read}', envelope = 'plain', key.format = 'avro', schema.registry.url = 'http://there')
         AS SELECT {read} FROM s;"
    );
    let plan = common::plan("job", &sql, &Profile::default(), &|_| None)?;
    Ok(plan.to_string())
}

#[test]
fn keys_have_a_contract_of_their_own_whatever_the_values_are_in() {
    let registry = "key.format = 'avro', schema.registry.url = 'http://there'";
    let both = keyed(&format!("format = 'avro', {registry}"), "id").unwrap();
    assert!(
        both.contains("plain avro (key.format = 'avro'), contract 'orders-value' version 2 (id 72), keys 'orders-key' version 1 (id 81); columns"),
        "{both}"
    );
    assert!(
        both.contains("plain json (key.format = 'avro'), keys 'out-key' by id"),
        "{both}"
    );
    let alone = keyed(registry, "id").unwrap();
    assert!(
        alone.contains(
            "plain json (key.format = 'avro'), keys 'orders-key' version 1 (id 81); columns"
        ),
        "{alone}"
    );
    assert!(
        alone.contains("with schema.registry.url = 'http://there'"),
        "{alone}"
    );
    let named = keyed(&format!("{registry}, key.schema.subject = 'ids'"), "id").unwrap();
    assert!(named.contains("keys 'ids'; columns"), "{named}");
    // Nobody looks at keys that no column is read from.
    let unread = keyed(registry, "city").unwrap();
    assert!(!unread.contains("orders-key"), "{unread}");
}

#[test]
fn columns_of_the_key_that_are_not_declared_are_those_of_its_contract() {
    let columns = |columns: &str, options: &str| {
        let plan = plan(&format!(
            "CREATE SOURCE orders {columns} WITH (connector = 'kafka', topic = 'orders', schema.registry.url = 'http://there', key.format = 'avro', {options})"
        ));
        let text = plan.unwrap().to_string();
        let line = text.lines().find(|line| line.starts_with("source"));
        line.unwrap().split_once("columns ").unwrap().1.to_owned()
    };
    // The type is that of the key's contract, and not that of the value's field of the name.
    assert_eq!(
        columns("", "format = 'avro', key = 'id'"),
        "id BIGINT NOT NULL from key 'id', city VARCHAR"
    );
    assert_eq!(
        columns("", "format = 'avro', envelope = 'upsert', key = 'number'"),
        "number BIGINT NOT NULL from key 'number', id BIGINT NOT NULL, city VARCHAR"
    );
    assert_eq!(
        columns("(city VARCHAR)", "key = 'number'"),
        "number BIGINT NOT NULL from key 'number', city VARCHAR"
    );
    assert_eq!(
        columns("(number INT, city VARCHAR)", "key = 'number'"),
        "number INT from key 'number', city VARCHAR"
    );
    let none = refused(
        "CREATE SOURCE orders (city VARCHAR) WITH (connector = 'kafka', topic = 'others', schema.registry.url = 'http://there', key.format = 'avro', key = 'id')",
    );
    assert!(
        none.1.ends_with("the registry has no subject 'others-key' to take columns from; declare them, or name another one: key.schema.subject = '…'"),
        "{none:?}"
    );
}

#[test]
fn options_of_keys_that_have_no_contract_are_refused_with_the_cure() {
    let cases = [
        (
            "key.schema.subject = 'x'",
            "'key.schema.subject' needs a registry; add schema.registry.url = '…', or leave it out",
        ),
        (
            "format = 'avro', schema.registry.url = 'http://there', key.schema.version = '1'",
            "'key.schema.version' needs keys with contracts; say key = '…' and key.format = 'avro' or 'protobuf', or leave it out",
        ),
        (
            "key.format = 'avro', schema.registry.url = 'http://there', schema.version = '1'",
            "'schema.version' needs values with contracts; say format = 'avro' or 'protobuf', or leave it out",
        ),
        (
            "key.format = 'avro', schema.registry.url = 'http://there', key.schema.version = '4'",
            "the registry has no version 4 of 'orders-key'",
        ),
        (
            "schema.registry.url = 'http://there'",
            "format 'json' has no contracts; leave the options 'schema.…' out, or choose 'avro' or 'protobuf'",
        ),
    ];
    for (options, expected) in cases {
        let error = keyed(options, "id").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let error = error.to_string();
        assert!(error.ends_with(expected), "{options}: {error}");
    }
    let error = keyed("key.avro.schema = '\"long\"'", "id")
        .unwrap_err()
        .to_string();
    assert!(error.contains("option 'key.avro.schema'"), "{error}");
}

#[test]
fn several_topics_have_the_columns_of_the_subject_that_is_named() {
    let both = REGISTRY.replace(
        "'orders'",
        "'orders, returns', schema.subject = 'orders-value'",
    );
    let plan = plan(&format!("CREATE SOURCE orders WITH ({both})")).unwrap();
    assert!(
        plan.to_string()
            .contains("kafka 'orders, returns', plain avro, contract 'orders-value' version 2")
    );
}

#[test]
fn what_no_registry_says_is_refused_with_the_cure() {
    let cases = [
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders')",
            "1:15: source 'orders' has no column; declare some, or name a registry that has its contract: schema.registry.url = '…'",
        ),
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders', schema.subject = 'x')",
            "1:67: 'schema.subject' needs a registry; add schema.registry.url = '…', or leave it out",
        ),
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'others', format = 'avro', schema.registry.url = 'http://there')",
            "1:15: the registry has no subject 'others-value' to take columns from; declare them, or name another one: schema.subject = '…'",
        ),
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders', format = 'avro', schema.registry.url = 'http://there', schema.version = '3')",
            "1:122: the registry has no version 3 of 'orders-value'",
        ),
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders', format = 'avro', schema.registry.url = 'http://there', schema.version = 'new')",
            "1:122: schema.version is 'new'; give it a number or 'latest'",
        ),
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders, returns', format = 'avro', schema.registry.url = 'http://there')",
            "1:49: the topics 'orders, returns' have a subject each; say with schema.subject = '…' of which the columns are",
        ),
        (
            "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders', format = 'csv', schema.registry.url = 'http://there')",
            "1:15: format 'csv' has no contracts; leave the options 'schema.…' out, or choose 'avro' or 'protobuf'",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(
            refused(source),
            (ErrorKind::Invalid, expected.to_owned()),
            "{source}"
        );
    }
    let pattern = "CREATE SOURCE orders WITH (connector = 'kafka', topic.pattern = 'orders.*', format = 'avro', schema.registry.url = 'http://there')";
    assert!(refused(pattern).1.contains("schema.subject"));
    let away = "CREATE SOURCE orders WITH (connector = 'kafka', topic = 'orders', format = 'avro', schema.registry.url = 'http://away')";
    assert_eq!(
        refused(away),
        (
            ErrorKind::Retry,
            "1:15: the registry does not answer".to_owned()
        )
    );
}
