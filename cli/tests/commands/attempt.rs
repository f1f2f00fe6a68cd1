//! A topic that nobody has described, and the job that is proposed for it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{call, text};

fn orders() -> TempDir {
    let folder = TempDir::new().unwrap();
    let topic = folder.path().join("data/orders");
    fs::create_dir_all(&topic).unwrap();
    let lines = [
        r#"{"order_id": 1, "total": 9.5, "customer": {"city": "Rome"}, "placed_at": "2026-01-31T12:00:00Z"}"#,
        "not json",
        r#"{"order_id": 2, "total": 12.25, "customer": null, "placed_at": "2026-01-31T12:05:00Z"}"#,
    ];
    fs::write(topic.join("0.jsonl"), lines.join("\n") + "\n").unwrap();
    folder
}

fn data(folder: &Path) -> String {
    text(&folder.join("data")).to_owned()
}

#[test]
fn a_topic_becomes_a_job_that_runs() {
    let folder = orders();
    let job = folder.path().join("orders.sql");
    let data = data(folder.path());
    let arguments = ["try", "--path", &data, "--topic", "orders"];
    let told = call(&[&arguments[..], &["--write", text(&job)]].concat()).good();
    for part in [
        "3 records of 'orders', such as",
        "    city VARCHAR FROM 'customer.city',",
        "    total DECIMAL(18, 2)",
        "Note: 1 of 3 records are no JSON objects",
        "The first rows, 2 of 3 records:",
        "city = Rome, order_id = 1, placed_at = 2026-01-31T12:00:00, total = 9.50",
        "dead letter: invalid JSON at byte 1",
    ] {
        assert!(told.contains(part), "'{part}' is not in:\n{told}");
    }
    let again = call(&[&arguments[..], &["--write", text(&job)]].concat());
    assert!(again.refused().contains("name another file with --write"));

    let written = fs::read_to_string(&job).unwrap();
    let out = folder.path().join("out");
    let there = written.replace("path = 'out'", &format!("path = '{}'", out.display()));
    fs::write(&job, there).unwrap();
    let state = folder.path().join("state");
    call(&[
        "run",
        text(&job),
        "--state-dir",
        text(&state),
        "--until-caught-up",
    ])
    .good();
    let rows = fs::read_to_string(out.join("orders/0.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 2, "{rows}");
    assert!(rows.contains(r#""city":"Rome""#), "{rows}");
}

#[test]
fn a_script_gets_one_object() {
    let folder = orders();
    let data = data(folder.path());
    let object = call(&["try", "--path", &data, "--topic", "orders", "--json"]).json();
    assert_eq!(object["envelope"], "plain");
    assert_eq!(object["rows"].as_array().unwrap().len(), 2);
    let missing = call(&["try", "--path", &data, "--topic", "nothing"]);
    assert!(missing.refused().contains("topic 'nothing'"));
    let unknown = call(&["try", "--path", &data, "--topic", "orders", "--with", "x=1"]);
    assert!(unknown.refused().contains("has no option 'x'"));
}

#[test]
fn a_profile_says_where_and_what_it_says_is_not_in_the_job() {
    let folder = orders();
    let config = folder.path().join("profiles.toml");
    let data = data(folder.path());
    fs::write(
        &config,
        format!("[profile.here.sources]\nconnector = 'files'\npath = '{data}'\nformat = 'json'\n"),
    )
    .unwrap();
    let arguments = [
        "try",
        "--topic",
        "orders",
        "--config",
        text(&config),
        "--profile",
    ];
    let told = call(&[&arguments[..], &["here"]].concat()).good();
    assert!(told.contains("run it with --profile here"), "{told}");
    assert!(!told.contains(&data), "{told}");
    let unknown = call(&[&arguments[..], &["there"]].concat());
    assert!(unknown.refused().contains("'here'"));
}

#[test]
fn a_secret_is_named_and_not_shown() {
    let arguments = ["try", "--topic", "orders", "--with"];
    let missing = call(&[&arguments[..], &["sasl.password=secret('kafka')"]].concat());
    assert!(missing.refused().contains("TIDEMILL_SECRET_KAFKA"));
    let nameless = call(&[&arguments[..], &["hunter2"]].concat()).refused();
    assert!(
        nameless.contains("NAME=VALUE") && !nameless.contains("hunter2"),
        "{nameless}"
    );
}
