//! The oracle over a handful of events, whose rows can be counted by hand.
//!
//! Catches an oracle that counts an event twice, an old version, a deleted row or an open window.
//! Cannot catch one that agrees with a job in a wrong reading of the SQL.

use serde_json::json;
use tidemill_studio::ports::OnInput;
use tidemill_studio::{Error, InputReader};

use super::super::events::Inputs;
use super::super::{ACCOUNT, MOVEMENT};
use super::expected;

/// One partition of each topic.
struct Topics {
    accounts: Vec<String>,
    movements: Vec<String>,
}

impl InputReader for Topics {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        let records = match topic {
            ACCOUNT => &self.accounts,
            MOVEMENT => &self.movements,
            _ => return Ok(()),
        };
        for (offset, record) in (0..).zip(records) {
            on_record(0, offset, record.as_bytes());
        }
        Ok(())
    }
}

fn event(uuid: &str, kind: &str, ts: i64, id: i64, data: &serde_json::Value) -> String {
    json!({"uuid": uuid, "type": kind, "ts": ts, "id": id, "data": data}).to_string()
}

fn movement(uuid: &str, kind: &str, ts: i64, id: i64, amount: &str) -> String {
    let data = json!({"account_id": 1, "kind": "fee", "amount": amount});
    event(uuid, kind, ts, id, &data)
}

fn inputs() -> Inputs {
    let north = json!({"region": "north", "owner": "a"});
    let topics = Topics {
        accounts: vec![event("a1", "create", 0, 1, &north)],
        movements: vec![
            movement("m1", "create", 1_000, 1, "10.00"),
            movement("m2", "update", 3_000, 1, "-0.05"),
            movement("m2", "update", 3_000, 1, "-0.05"),
            // Older than what is there: it changes no row, but is an event of its window.
            movement("m3", "update", 2_000, 1, "7.00"),
            movement("m4", "create", 12_000, 2, "1.00"),
            json!({"uuid": "m5", "type": "delete", "ts": 13_000, "id": 2}).to_string(),
            movement("m6", "create", 18_000, 3, "2.00"),
            "broken".to_owned(),
        ],
    };
    Inputs::read(&topics).unwrap()
}

#[test]
fn the_newest_version_of_each_key_counts_once_and_a_deleted_one_not_at_all() {
    let inputs = inputs();
    assert_eq!(inputs.movements.broken, [(0, 7)]);
    assert_eq!(inputs.movements.accepted.len(), 6);
    let expected = expected(&inputs);
    let booked: Vec<_> = expected["chaos.booked"].rows.keys().collect();
    assert_eq!(booked, ["1", "3"]);
    let north = json!({
        "region": "north", "total": "1.95", "movements": 2, "least": "-0.05", "most": "2.00", "kinds": 1,
    });
    assert_eq!(expected["chaos.by_region"].rows["\"north\""], north);
    let words: Vec<_> = expected["chaos.words"].rows.keys().collect();
    assert_eq!(words, ["\"fee\"", "\"north\""]);
}

#[test]
fn a_window_counts_every_event_and_is_open_until_the_watermark_has_passed_it() {
    let expected = expected(&inputs());
    let spans = &expected["chaos.spans"];
    let first = r#"{"kind":"fee","span":"1970-01-01T00:00:00.000Z"}"#;
    let row =
        json!({"kind": "fee", "span": "1970-01-01T00:00:00.000Z", "total": "16.95", "events": 3});
    assert_eq!(spans.rows[first], row);
    // The watermark is at 13 s.
    assert_eq!((spans.rows.len(), spans.open.len()), (2, 1));
    let fee = json!({"kind": "fee", "total": "16.95", "spans": 1, "events": 3});
    assert_eq!(expected["chaos.kinds"].rows["\"fee\""], fee);
}
