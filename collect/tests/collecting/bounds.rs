//! What a client may take: bytes, time, and places; and that others are served meanwhile.

use std::time::{Duration, Instant};

use tidemill_collect::settings::{Key, Limits};

use crate::server::{Client, Running, create_topic, settings, shared, values};

const HEAD: &str = "HTTP/1.1\r\nContent-Type: application/json\r\n";

fn start(topic: &str, topic_settings: &[(&str, &str)], limits: Limits) -> Running {
    create_topic(shared(), topic, 1, topic_settings);
    Running::start(tidemill_collect::settings::Settings {
        limits,
        ..settings(shared(), topic, Key::None)
    })
}

/// Begins a request, and sends a part of its body.
fn begin(running: &Running, topic: &str, length: usize, part: &str) -> Client {
    let mut client = running.connect();
    let head = format!("POST /events/{topic} {HEAD}Content-Length: {length}\r\n\r\n{part}");
    client.send(head.as_bytes());
    client
}

/// Waits until a client is served as far as the metrics tell.
#[track_caller]
fn until(running: &Running, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut client = running.connect();
    loop {
        client.request("GET /metrics", "", b"");
        let told = client.answer();
        if told.body.lines().any(|of| of == line) {
            return;
        }
        assert!(Instant::now() < deadline, "no '{line}' in\n{}", told.body);
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let limits = Limits {
        event_bytes_max: 100,
        events_max: 3,
        request_bytes_max: 1000,
        ..Limits::default()
    };
    let running = start("large", &[], limits);
    let mut client = begin(&running, "large", 1 << 40, "{");
    let told = client.answer();
    assert_eq!(told.status, 413);
    assert!(told.head.contains("Connection: close"), "{told:?}");
    assert!(client.is_over());
    let mut client = running.connect();
    let head = format!("POST /events/large {HEAD}Transfer-Encoding: chunked\r\n\r\n");
    client.send(head.as_bytes());
    client.send(format!("200\r\n{}\r\n1f4\r\n", " ".repeat(0x200)).as_bytes());
    assert_eq!(client.answer().status, 413);
    let mut client = running.connect();
    let event = format!(r#"[{{}},{{"a":"{}"}}]"#, "x".repeat(100));
    let told = client.post("large", &event);
    assert_eq!((told.status, &told.json()["event"]), (413, &2.into()));
    assert_eq!(client.post("large", "[{},{},{},{}]").status, 413);
    assert_eq!(client.post("large", "[{},{},{}]").status, 200);
    assert_eq!(values(shared(), "large").len(), 3);
    let mut client = running.connect();
    let head = "x: y\r\n".repeat(5000);
    client.send(format!("GET / HTTP/1.1\r\n{head}").as_bytes());
    assert_eq!(client.answer().status, 431);
    running.stop();
}

#[test]
fn an_event_that_the_topic_does_not_take_is_refused_with_all_of_its_request() {
    let running = start(
        "narrow",
        &[("max.message.bytes", "1000")],
        Limits::default(),
    );
    let large = format!(r#"[{{}},{{"a":"{}"}}]"#, "x".repeat(900));
    let told = running.post("narrow", &large);
    assert_eq!((told.status, &told.json()["event"]), (413, &2.into()));
    assert!(values(shared(), "narrow").is_empty());
    running.stop();
}

#[test]
fn a_slow_client_is_told_so_and_holds_nobody_up() {
    let limits = Limits {
        request_wait_max: Duration::from_millis(700),
        ..Limits::default()
    };
    let running = start("slow", &[], limits);
    let mut slow: Vec<Client> = (0..20).map(|_| begin(&running, "slow", 10, "{")).collect();
    let since = Instant::now();
    for number in 0..20 {
        let told = running.post("slow", &format!("{{\"n\":{number}}}"));
        assert_eq!(told.status, 200);
    }
    for client in &mut slow {
        // A byte now and then buys no time.
        let _ = client.try_send(b" ");
        let told = client.answer();
        assert_eq!(told.status, 408);
    }
    assert!(
        since.elapsed() < Duration::from_secs(30),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(values(shared(), "slow").len(), 20);
    running.stop();
}

#[test]
fn a_client_that_hangs_up_half_way_writes_nothing_and_leaves_nothing() {
    let running = start("gone", &[], Limits::default());
    for _ in 0..10 {
        drop(begin(&running, "gone", 20, "[{\"a\":1},"));
    }
    until(
        &running,
        "tidemill_collect_requests_total{endpoint=\"gone\",outcome=\"too_slow\"} 10",
    );
    until(&running, "tidemill_collect_in_flight_bytes 0");
    assert!(values(shared(), "gone").is_empty());
    running.stop();
}

#[test]
fn more_than_may_be_in_flight_is_welcome_later() {
    let limits = Limits {
        in_flight_bytes_max: 1000,
        ..Limits::default()
    };
    let running = start("busy", &[], limits);
    let mut holder = begin(&running, "busy", 902, &" ".repeat(900));
    until(&running, "tidemill_collect_in_flight_bytes 900");
    let event = format!(r#"{{"a":"{}"}}"#, "x".repeat(200));
    let told = running.post("busy", &event);
    assert_eq!(told.status, 429);
    assert!(told.head.contains("Retry-After: 1\r\n"), "{told:?}");
    holder.send(b"{}");
    assert_eq!(holder.answer().status, 200);
    assert_eq!(running.post("busy", &event).status, 200);
    assert_eq!(values(shared(), "busy"), ["{}", &event]);
    running.stop();
}

#[test]
fn connections_are_bounded() {
    let limits = Limits {
        connections_max: 4,
        ..Limits::default()
    };
    let running = start("many", &[], limits);
    let mut clients: Vec<Client> = (0..4).map(|_| running.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.post("many", "{}").status, 200);
    }
    let mut more: Vec<Client> = (0..20).map(|_| running.connect()).collect();
    for client in &mut more {
        let told = client.answer();
        assert_eq!(told.status, 503);
        assert!(told.head.contains("Retry-After: 1\r\n"), "{told:?}");
        assert!(client.is_over());
    }
    for client in &mut clients {
        assert_eq!(client.post("many", "{}").status, 200);
    }
    drop(clients);
    let deadline = Instant::now() + Duration::from_secs(60);
    // It takes the others a moment to be seen gone.
    while running.connect().try_answer_to("many") != Some(200) {
        assert!(Instant::now() < deadline, "nobody is let in again");
    }
    running.stop();
}
