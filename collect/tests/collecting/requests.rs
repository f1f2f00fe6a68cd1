//! What is taken, as it was sent, and what is not.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tidemill_collect::settings::Key;

use crate::server::{Running, create_topic, records, settings, shared, values};

const LINES: &str = "Content-Type: application/x-ndjson\r\n";

fn start(topic: &str, partitions: u32, key: Key) -> Running {
    create_topic(shared(), topic, partitions, &[]);
    Running::start(settings(shared(), topic, key))
}

fn member(path: &str) -> Key {
    Key::Member(path.split('.').map(str::to_owned).collect())
}

#[test]
fn events_are_there_exactly_as_sent_before_they_are_answered() {
    let running = start("exact", 1, Key::None);
    let mut client = running.connect();
    let odd = r#"{ "uuid" : "a",  "amount":1.50, "x":"\u00e9é" }"#;
    let told = client.post("exact", &format!("\n{odd}\n"));
    assert_eq!(
        (told.status, told.json()),
        (200, json!({"events": 1, "offsets": {"0": 0}}))
    );
    assert_eq!(values(shared(), "exact"), [odd]);
    let told = client.post("exact", &format!("[{odd},\n {{}}]"));
    assert_eq!(told.json(), json!({"events": 2, "offsets": {"0": 2}}));
    let told = client.post_with("exact", LINES, b"{\"a\":1}\r\n\n{\"a\":2}");
    assert_eq!(told.json(), json!({"events": 2, "offsets": {"0": 4}}));
    let told = client.post("exact", "[]");
    assert_eq!(told.json(), json!({"events": 0, "offsets": {}}));
    let expected = [odd, odd, "{}", "{\"a\":1}", "{\"a\":2}"];
    assert_eq!(values(shared(), "exact"), expected);
    running.stop();
}

#[test]
fn events_of_a_key_are_in_their_order() {
    let running = start("order", 4, member("data.id"));
    let mut client = running.connect();
    for request in 0..20 {
        let events = (0..50).map(|event| {
            let number = request * 50 + event;
            json!({"n": number, "data": {"id": number % 7}}).to_string()
        });
        let lines: Vec<String> = events.collect();
        let told = client.post_with("order", LINES, lines.join("\n").as_bytes());
        assert_eq!(told.status, 200, "{told:?}");
    }
    let mut last = [-1; 7];
    let found = records(shared(), "order");
    assert_eq!(found.len(), 1000);
    for (key, value) in found.values() {
        let event: serde_json::Value = serde_json::from_str(value).unwrap();
        let (id, number) = (
            event["data"]["id"].as_u64().unwrap(),
            event["n"].as_i64().unwrap(),
        );
        assert_eq!(*key, id.to_string());
        let last = &mut last[usize::try_from(id).unwrap()];
        assert!(*last < number, "{number} of key {id} is after {last}");
        *last = number;
    }
    running.stop();
}

#[test]
fn a_key_can_be_a_header() {
    let running = start("header", 1, Key::Header("x-key".to_owned()));
    let mut client = running.connect();
    let headers = "Content-Type: application/json; charset=utf-8\r\nX-Key: k 1\r\n";
    assert_eq!(client.post_with("header", headers, b"{}").status, 200);
    let told = client.post("header", "{}");
    assert_eq!(told.status, 400);
    assert!(told.body.contains("'x-key'"), "{told:?}");
    let found: Vec<_> = records(shared(), "header").into_values().collect();
    assert_eq!(found, [("k 1".to_owned(), "{}".to_owned())]);
    running.stop();
}

#[test]
fn a_request_with_one_wrong_event_writes_nothing() {
    let running = start("wrong", 1, member("id"));
    let mut client = running.connect();
    for (body, event, word) in [
        (r#"[{"id":1},{"id":2},{"id":}]"#, json!(3), "no JSON"),
        (r#"[{"id":1},{"di":2}]"#, json!(2), "lacks the member 'id'"),
        (r#"[{"id":1},"x"]"#, json!(2), "no JSON object"),
        (r#"[{"id":1}"#, json!(2), "no JSON"),
        ("", json!(null), "empty"),
        ("garbage", json!(1), "no JSON object"),
    ] {
        let told = client.post("wrong", body);
        assert_eq!(
            (told.status, &told.json()["event"]),
            (400, &event),
            "{body}: {told:?}"
        );
        assert!(told.body.contains(word), "{body}: {told:?}");
        assert_eq!(told.json()["written"], 0);
    }
    let told = client.post_with("wrong", LINES, b"{\"id\":1}\n{\"id\":2}{}\n");
    assert_eq!((told.status, &told.json()["event"]), (400, &json!(2)));
    let told = client.post_with("wrong", LINES, b"{\"id\":1}\n{\"id\":\"\xff\"}\n");
    assert_eq!(told.status, 400);
    assert!(values(shared(), "wrong").is_empty());
    assert_eq!(client.post("wrong", r#"{"id":1}"#).status, 200);
    running.stop();
}

#[test]
fn chunks_and_gzip_and_many_requests_at_once_are_read() {
    let running = start("chunks", 1, Key::None);
    let mut client = running.connect();
    let head = "POST /events/chunks HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    // Byte by byte, with an extension and a trailer.
    for byte in
        format!("{head}3;x=y\r\n{{\"a\r\n6\r\n\":1   \r\n1\r\n}}\r\n0\r\nX: y\r\n\r\n").bytes()
    {
        client.send(&[byte]);
    }
    assert_eq!(client.answer().status, 200);
    let two = format!("{head}2\r\n{{}}\r\n0\r\n\r\n").repeat(2);
    client.send(two.as_bytes());
    assert_eq!([client.answer().status, client.answer().status], [200, 200]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"[{\"b\":1},{\"b\":2}]").unwrap();
    let packed = encoder.finish().unwrap();
    let headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    assert_eq!(client.post_with("chunks", headers, &packed).status, 200);
    let expected = [r#"{"a":1   }"#, "{}", "{}", "{\"b\":1}", "{\"b\":2}"];
    assert_eq!(values(shared(), "chunks"), expected);
    for wrong in ["\r\n", "x\r\n", "2\r\n{}x\r\n", "-1\r\n", "0x2\r\n"] {
        let mut client = running.connect();
        client.send(format!("{head}{wrong}\r\n").as_bytes());
        assert_eq!(client.answer().status, 400, "{wrong:?}");
        assert!(client.is_over());
    }
    running.stop();
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let running = start("continue", 1, Key::None);
    let mut client = running.connect();
    let headers = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    client.send(
        format!("POST /events/continue HTTP/1.1\r\n{headers}Content-Length: 2\r\n\r\n").as_bytes(),
    );
    assert_eq!(client.answer().status, 100);
    client.send(b"{}");
    assert_eq!(client.answer().status, 200);
    client
        .send(format!("POST /events/no HTTP/1.1\r\n{headers}Content-Length: 2\r\n\r\n").as_bytes());
    assert_eq!(client.answer().status, 404);
    running.stop();
}

#[test]
fn what_is_not_there_or_no_request_is_refused_and_tells_nothing_else() {
    let running = start("secret-name", 1, Key::None);
    let told = running.post("other", "{}");
    assert_eq!(told.status, 404);
    assert!(!told.body.contains("secret-name"), "{told:?}");
    let status = |line: &str, headers: &str| {
        let mut client = running.connect();
        client.request(line, headers, b"{}");
        client.answer().status
    };
    assert_eq!(status("GET /events/secret-name", ""), 405);
    assert_eq!(status("GET /nothing", ""), 404);
    assert_eq!(status("POST /metrics", ""), 404);
    // What a page of another site could make a browser send.
    assert_eq!(status("POST /events/secret-name", ""), 415);
    assert_eq!(
        status("POST /events/secret-name", "Content-Type: text/plain\r\n"),
        415
    );
    let json = "Content-Type: application/json\r\n";
    let packed = format!("{json}Content-Encoding: br\r\n");
    assert_eq!(status("POST /events/secret-name", &packed), 415);
    assert_eq!(
        status(
            "POST /events/secret-name",
            &format!("{json}Content-Length: 3\r\n")
        ),
        400
    );
    let mut client = running.connect();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert!(client.is_over());
    assert!(values(shared(), "secret-name").is_empty());
    running.stop();
}

#[test]
fn health_and_metrics_are_told() {
    let running = start("counted", 1, Key::None);
    let mut client = running.connect();
    client.post("counted", r#"[{"a":1},{"a":2}]"#);
    client.post("counted", "wrong");
    client.request("GET /healthz", "", b"");
    assert_eq!(client.answer().json(), json!({"health": "ok"}));
    client.request("GET /metrics", "", b"");
    let told = client.answer();
    for line in [
        "tidemill_collect_requests_total{endpoint=\"counted\",outcome=\"ok\"} 1",
        "tidemill_collect_requests_total{endpoint=\"counted\",outcome=\"malformed\"} 1",
        "tidemill_collect_events_total{endpoint=\"counted\"} 2",
        "tidemill_collect_bytes_total{endpoint=\"counted\"} 14",
        "tidemill_collect_connections 1",
        "tidemill_collect_in_flight_bytes 0",
        "tidemill_collect_seconds_count 1",
    ] {
        assert!(
            told.body.lines().any(|of| of == line),
            "'{line}' is not in\n{told:?}"
        );
    }
    running.stop();
}
