//! Records that are larger than a topic takes, on a real Kafka: the job goes on without them, and they are kept. Needs `scripts/setup.sh kafka`.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_connectors_kafka::tools::{TopicSpec, create_topics};
use tidemill_tests_e2e::broker::Broker;
use tidemill_tests_e2e::jobs::run;
use tidemill_tests_e2e::process::Live;

/// The row is twice as large as the record that it comes from. No sink takes the dead letters.
const SQL: &str = "
CREATE SOURCE events (id BIGINT NOT NULL METADATA FROM 'id', note VARCHAR)
WITH (envelope = 'crud', connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'large.in');
CREATE TABLE notes (PRIMARY KEY (id)) FROM events;
CREATE SINK doubled WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}', topic = 'large.out', key = 'id') AS
SELECT id, note || note AS note FROM notes;
";

#[test]
fn a_row_over_the_topics_limit_is_kept_beside_the_state_and_what_stood_there_is_deleted() {
    let broker = Broker::start("large");
    broker.create_topic("large.in", 1);
    let settings = vec![("max.message.bytes", "1048588")];
    let (name, partitions) = ("large.out", 1);
    create_topics(
        &broker.bootstrap(),
        &[TopicSpec {
            name,
            partitions,
            settings,
        }],
    )
    .unwrap();
    let folder = TempDir::new().unwrap();
    let (sql, state) = (folder.path().join("job.sql"), folder.path().join("state"));
    fs::write(&sql, SQL).unwrap();
    let publish = |id: u64, number: u64, note: &str| {
        let event = json!({"uuid": format!("u{number}"), "type": "update", "ts": number, "entity": "note", "id": id, "data": {"note": note}});
        broker.publish("large.in", &[(0, event.to_string().as_bytes())]);
    };
    let catch_up = || {
        let mut command = run(&sql, "large", &state, 1, &["--until-caught-up"]);
        command.env("TIDEMILL_KAFKA", broker.bootstrap());
        Live::start(command).ends().good();
    };
    publish(1, 1, "a");
    publish(2, 2, "b");
    catch_up();
    let note = "n".repeat(600_000);
    publish(1, 3, &note);
    publish(3, 4, "c");
    catch_up();

    let written = broker.committed("large.out").into_iter();
    let parsed = |value: String| serde_json::from_str::<Value>(&value).unwrap();
    let written: Vec<_> = written
        .map(|(key, value, _)| (key, value.map(parsed)))
        .collect();
    let row = |id: u64, note: &str| (id.to_string(), Some(json!({"id": id, "note": note})));
    let expected = [
        row(1, "aa"),
        row(2, "bb"),
        ("1".to_owned(), None),
        row(3, "cc"),
    ];
    assert_eq!(written, expected);

    let kept = fs::read_to_string(state.join("dead-letters/newest.jsonl")).unwrap();
    let letters: Vec<Value> = kept
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let whole: Vec<_> = letters
        .iter()
        .filter(|letter| {
            letter["bytes"]
                .as_str()
                .is_some_and(|bytes| bytes.len() > 1_200_000)
        })
        .collect();
    assert_eq!(whole.len(), 1, "the record is kept whole, once");
    let reason = whole[0]["reason"].as_str().unwrap();
    assert!(reason.contains("the record of key '1'"), "{reason}");
    assert!(reason.contains("'max.message.bytes'"), "{reason}");
}
