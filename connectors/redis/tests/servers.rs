//! Servers that cannot be delivered to: away, silent, another kind, a wrong login, TLS that does not fit; each told with what to do.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use common::{Database, HISTORY, Sink, parcel};
use tidemill_tests_broker::certificates::Certificates;
use tidemill_tests_broker::redis::{Redis as Server, Tls};
use tidemill_types::ErrorKind;

fn assert_refused(sink: &Sink, told: &str) {
    let error = sink.refusal();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error.message.contains(told) && error.message.contains(';'),
        "{error}"
    );
}

#[test]
fn who_is_not_there_and_who_must_not_be_reached_are_told_apart() {
    let sink = Database::new().sink();
    let error = sink.clone().with("url", "redis://127.0.0.1:1").refusal();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    let error = sink
        .clone()
        .with("url", "redis://no-such-host.invalid")
        .with("timeout", "2 s")
        .refusal();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert_refused(&sink.with("url", "redis://169.254.169.254"), "not allowed");
}

#[test]
fn who_listens_and_does_not_answer_is_left() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap();
    for scheme in ["redis", "rediss"] {
        let sink = Database::new().sink().with("timeout", "100 ms");
        let error = sink.with("url", &format!("{scheme}://{place}")).refusal();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert!(error.message.contains("within 0.1 s"), "{error}");
    }
}

#[test]
fn who_speaks_otherwise_is_no_redis() {
    for (answer, told) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis"),
        ("$-7\r\n:", "no Redis"),
        ("+PONG\r\n", "something else"),
        ("$999999999999999999999\r\n", "no Redis"),
        ("*2147483647\r\n$-1\r\n", "no answer within"),
        ("", "connection ended"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let sink = Database::new()
            .sink()
            .without("password")
            .with("timeout", "1 s")
            .with("url", &url);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = [0; 4_096];
                // It answers one question, and twice for who takes the first answer for nothing.
                for _ in 0..2 {
                    if stream.read(&mut question).unwrap_or(0) == 0 {
                        return;
                    }
                    if stream.write_all(answer.as_bytes()).is_err() || answer.is_empty() {
                        return;
                    }
                }
            });
            let error = sink.refusal();
            assert!(error.message.contains(told), "{answer}: {error}");
        });
    }
}

#[test]
fn a_wrong_login_and_a_database_that_is_not_there_are_named_without_the_password() {
    let mut database = Database::new();
    let sink = database.sink();
    assert_refused(&sink.clone().with("password", "hunter2"), "WRONGPASS");
    assert_refused(&sink.clone().with("user", "nobody"), "WRONGPASS");
    assert_refused(&sink.clone().without("password"), "NOAUTH");
    let beyond = sink.options["url"].rsplit_once('/').unwrap().0.to_owned() + "/4000";
    assert_refused(&sink.clone().with("url", &beyond), "name a database");
    // A user that may write its keys and no others, and not even look at the server.
    database.ask::<String>("ACL SETUSER tidemill on >hunter2 ~film:* +eval +select +type +hmget +hset +hget +strlen +set +del");
    let user = sink.with("user", "tidemill").with("password", "hunter2");
    let (mut delivery, _) = user.open().unwrap();
    delivery.deliver(&[parcel(1, [(1, Some("a"))])]).unwrap();
    assert_refused(&user.clone().with("key.prefix", "other:"), "NOPERM");
    database.ask::<String>("ACL SETUSER tidemill -set");
    let error = delivery
        .deliver(&[parcel(2, [(1, Some("b"))])])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(delivery.open(HISTORY).unwrap().0, 1);
    database.ask::<String>("ACL SETUSER tidemill +set");
    delivery.deliver(&[parcel(2, [(1, Some("b"))])]).unwrap();
    database.ask::<u32>("ACL DELUSER tidemill");
}

#[test]
fn a_replica_is_refused_also_one_that_was_the_primary() {
    let primary = Server::start().unwrap();
    let mut database = Database::on(&primary);
    let (mut delivery, _) = database.sink().open().unwrap();
    delivery.deliver(&[parcel(1, [(1, Some("a"))])]).unwrap();
    database.ask::<String>("REPLICAOF 127.0.0.1 1");
    let error = delivery
        .deliver(&[parcel(2, [(1, Some("b"))])])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("name the primary"), "{error}");
    assert_refused(&database.sink(), "name the primary");
    database.ask::<String>("REPLICAOF NO ONE");
    assert_eq!(delivery.open(HISTORY).unwrap().0, 1);
    delivery.deliver(&[parcel(2, [(1, Some("b"))])]).unwrap();
    primary.stop().unwrap();
}

#[test]
fn a_node_of_a_cluster_is_refused() {
    let node = Server::start_with("cluster-enabled yes", None).unwrap();
    let url = node.url(0);
    let sink = Database::new().sink().with("url", &url);
    assert_refused(&sink, "node of a cluster");
    node.stop().unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn by_tls_both_sides_show_whose_they_are() {
    let files = Certificates::new("job");
    let tls = Tls {
        certificate: &files.path("server.pem"),
        key: &files.path("server.key"),
        ca: &files.path("ca.pem"),
    };
    let server = Server::start_with("", Some(tls)).unwrap();
    let port = server.tls_port();
    let sink = Database::new().sink();
    let trusting = sink
        .clone()
        .with("url", &format!("rediss://localhost:{port}"))
        .with("ssl.ca.location", text(&files.path("ca.pem")));
    let known = trusting
        .clone()
        .with("ssl.certificate.location", text(&files.path("job.pem")))
        .with("ssl.key.location", text(&files.path("job.key")));
    let (mut delivery, _) = known.open().unwrap();
    let long = "x".repeat(1 << 20);
    delivery.deliver(&[parcel(1, [(1, Some(&long))])]).unwrap();
    assert_eq!(known.open().unwrap().1, 1);

    let by_address = known
        .clone()
        .with("url", &format!("rediss://127.0.0.1:{port}"));
    assert_refused(&by_address, "not valid for name");
    assert_refused(&known.clone().without("ssl.ca.location"), "UnknownIssuer");
    assert_refused(&trusting, "ssl.certificate.location");
    let no_file = known
        .clone()
        .with("ssl.ca.location", text(&files.path("nothing.pem")));
    assert_refused(&no_file, "name another file");
    // And each of the two where the server has the other one.
    let plain = format!("rediss://localhost:{}", server.port());
    let encrypted = format!("redis://127.0.0.1:{port}");
    for (sink, url, told) in [
        (known, plain, "'redis://'"),
        (sink, encrypted, "'rediss://'"),
    ] {
        let error = sink.with("url", &url).with("timeout", "1 s").refusal();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert!(error.message.contains(told), "{error}");
    }
    server.stop().unwrap();
}
