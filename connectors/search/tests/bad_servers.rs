//! What answers seldom or wrongly: a server that is busy, silent, cut off or none, that takes less, or lets nobody in. Each is an error of its
//! kind within the bound, or is coped with. And who may ask: credentials, certificates.
//!
//! Catches: a delivery that waits without a bound, takes for delivered what is not, or tells a secret. Cannot catch: what real servers answer;
//! the contracts run on them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arrow_schema::{DataType, Field, Schema};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tidemill_connectors_api::{
    Connector, Delivery, DeliverySpec, Error, Options, Parcel, Rejected,
};
use tidemill_connectors_search::Search;
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind};

/// What a request is: its line, its headers, its body.
#[derive(Debug, Clone)]
struct Request {
    head: String,
    body: String,
}

impl Request {
    /// Reads one; none if the client hung up.
    fn read(stream: &mut impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).unwrap();
        let lower = head.to_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).ok()?;
        Some(Self {
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    fn is(&self, begins: &str) -> bool {
        self.head.starts_with(begins)
    }

    /// How many records a bulk request has that are one line for what to do and one for the value.
    fn records(&self) -> usize {
        self.body.lines().count() / 2
    }
}

/// What a healthy server answers, but for `_bulk`: there is an empty index, and whoever writes its document has written it.
fn healthy(request: &Request) -> String {
    if request.is("GET /films/_settings") {
        ok(r#"{"films":{"settings":{"index.uuid":"u1"}}}"#)
    } else if request.is("GET /films/_count") {
        ok(r#"{"count":0}"#)
    } else if request.is("GET /.tidemill-deliveries/_doc/u1") {
        let progress = r#"{"index":"films","job":"j","sink":"s","history":"h","epoch":0,"begun":false,"owner":1}"#;
        ok(&format!(
            r#"{{"_seq_no":1,"_primary_term":1,"_source":{progress}}}"#
        ))
    } else if request.is("PUT /.tidemill-deliveries/_doc/u1") {
        ok(r#"{"_seq_no":1,"_primary_term":1}"#)
    } else {
        ok("{}")
    }
}

/// What a server answers that takes all records.
fn taken(request: &Request) -> String {
    let items = vec![r#"{"index":{"status":201}}"#; request.records()];
    ok(&format!(r#"{{"items":[{}]}}"#, items.join(",")))
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

fn ok(body: &str) -> String {
    answer("200 OK", "", body)
}

/// A server on a port of its own. It ends with this process.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn new(serve: impl Fn(TcpStream, &Mutex<Vec<Request>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<Request>>>::default();
        let (serve, requests) = (Arc::new(serve), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, requests) = (Arc::clone(&serve), Arc::clone(&requests));
                thread::spawn(move || serve(stream.unwrap(), &requests));
            }
        });
        Self { port, asked }
    }

    /// Answers each request in text.
    fn answering(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::new(move |mut stream, asked| {
            if let Some(request) = Request::read(&mut stream) {
                asked.lock().unwrap().push(request.clone());
                // The client may have gone already.
                let _ = stream.write_all(answer(&request).as_bytes());
            }
        })
    }

    /// A healthy one, which answers so to `_bulk`.
    fn bulk(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::answering(move |request| match request.is("POST /films/_bulk") {
            true => answer(request),
            false => healthy(request),
        })
    }

    fn delivery(&self, more: &[(&str, &str)]) -> Box<dyn Delivery> {
        delivery(&format!("http://127.0.0.1:{}", self.port), more).unwrap()
    }
}

fn delivery(url: &str, more: &[(&str, &str)]) -> Result<Box<dyn Delivery>, Error> {
    let given = [("url", url), ("index", "films"), ("timeout", "600 ms")];
    let given = given.iter().chain(more);
    let options: Options = given
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Search::default().delivery(&DeliverySpec {
        job: "j",
        name: "s",
        options: &options,
        schema: &Schema::new(vec![Field::new("id", DataType::Int64, false)]),
        key: &["id".to_owned()],
        contents: Contents::States,
    })
}

/// Opens, and delivers so many records; what came of it must have come within the timeouts and a margin for a busy machine.
fn deliver(delivery: &mut dyn Delivery, records: usize) -> Result<Vec<Rejected>, Error> {
    let start = Instant::now();
    let mut parcel = Parcel {
        epoch: Epoch(1),
        ..Parcel::default()
    };
    for id in 0..records {
        let id = id.to_string();
        parcel
            .records
            .push(id.as_bytes(), Some(format!(r#"{{"id":{id}}}"#).as_bytes()));
    }
    let outcome = delivery.open("h").and_then(|_| delivery.deliver(&[parcel]));
    assert!(start.elapsed() < Duration::from_secs(15));
    outcome
}

fn assert_error(delivery: &mut dyn Delivery, kind: ErrorKind, part: &str) -> Error {
    let error = deliver(delivery, 3).unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(
        error.message.contains(part) && error.message.contains(';'),
        "{error}"
    );
    error
}

#[test]
fn a_healthy_server_takes_everything() {
    let server = Server::bulk(taken);
    assert_eq!(deliver(server.delivery(&[]).as_mut(), 3).unwrap(), []);
    let asked = server.asked.lock().unwrap();
    let written: Vec<_> = asked
        .iter()
        .filter(|request| request.is("PUT /.tidemill"))
        .collect();
    // Claimed, begun, delivered.
    assert_eq!(written.len(), 3);
    assert!(
        written[2].body.contains(r#""begun":true,"epoch":1"#),
        "{written:?}"
    );
    assert!(
        written[2].head.contains("if_seq_no=1&if_primary_term=1"),
        "{written:?}"
    );
}

#[test]
fn a_server_in_trouble_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_error(
        delivery(&url, &[]).unwrap().as_mut(),
        ErrorKind::Retry,
        "away",
    );
    let item = |status: u16, name: &str| {
        let good = r#"{"index":{"status":201}}"#;
        let bad = format!(
            r#"{{"index":{{"status":{status},"error":{{"type":"{name}","reason":"full"}}}}}}"#
        );
        ok(&format!(r#"{{"items":[{good},{bad},{good}]}}"#))
    };
    for busy in [
        answer(
            "429 Too Many Requests",
            "",
            r#"{"error":{"type":"circuit_breaking_exception","reason":"full"},"status":429}"#,
        ),
        answer("503 Unavailable", "", "full"),
        item(429, "rejected_execution_exception"),
        item(503, "unavailable_shards_exception"),
        item(403, "cluster_block_exception"),
    ] {
        let server = Server::bulk(move |_| busy.clone());
        assert_error(server.delivery(&[]).as_mut(), ErrorKind::Retry, "full");
        let asked = server.asked.lock().unwrap();
        let bulks = asked
            .iter()
            .filter(|request| request.is("POST /films/_bulk"));
        assert_eq!(bulks.count(), 1, "nothing is asked twice");
        let written = asked.iter().filter(|request| request.is("PUT"));
        assert!(
            written
                .into_iter()
                .all(|request| request.body.contains(r#""epoch":0"#))
        );
    }
}

#[test]
fn an_answer_that_is_cut_off_or_late_is_tried_again() {
    let whole = taken(&Request {
        head: String::new(),
        body: "\n".repeat(6),
    });
    let torn = whole[..whole.len() - 10].to_owned();
    let server = Server::bulk(move |_| torn.clone());
    assert_error(server.delivery(&[]).as_mut(), ErrorKind::Retry, "away");
    let server = Server::bulk(|_| String::new());
    assert_error(server.delivery(&[]).as_mut(), ErrorKind::Retry, "away");
    let silent = Server::new(|mut stream, _| {
        // Until the client hangs up.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_error(silent.delivery(&[]).as_mut(), ErrorKind::Retry, "away");
    let drips = Server::new(|mut stream, _| {
        Request::read(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert_error(drips.delivery(&[]).as_mut(), ErrorKind::Retry, "away");
}

#[test]
fn what_is_no_such_server_is_refused_by_name() {
    let no_server = "no server of OpenSearch or Elasticsearch";
    for (body, status) in [
        ("<html>Log in</html>", "200 OK"),
        ("<html>Not here</html>", "404 Not Found"),
        (r#"{"hello":"world"}"#, "200 OK"),
        ("[]", "418 I'm a teapot"),
    ] {
        let server = Server::answering(move |_| answer(status, "", body));
        assert_error(server.delivery(&[]).as_mut(), ErrorKind::Invalid, no_server);
    }
    let server = Server::answering(|_| "SSH-2.0-OpenSSH_9.2\r\n".to_owned());
    assert_error(
        server.delivery(&[]).as_mut(),
        ErrorKind::Invalid,
        "does not speak HTTP",
    );
    let server =
        Server::answering(|_| answer("302 Found", "Location: http://169.254.169.254/\r\n", ""));
    assert_error(
        server.delivery(&[]).as_mut(),
        ErrorKind::Invalid,
        "not followed",
    );
    let metadata = delivery("http://169.254.169.254", &[]);
    assert_error(metadata.unwrap().as_mut(), ErrorKind::Invalid, "is refused");
}

#[test]
fn an_answer_that_leaves_records_out_is_none() {
    for items in [
        "",
        r#"{"index":{"status":201}}"#,
        r#"{"create":{"status":201}}"#,
    ] {
        let server = Server::bulk(move |_| ok(&format!(r#"{{"items":[{items}]}}"#)));
        assert_error(
            server.delivery(&[]).as_mut(),
            ErrorKind::Invalid,
            "each record",
        );
    }
}

#[test]
fn what_is_wrong_with_the_index_makes_no_dead_letters() {
    let cause =
        r#"{"type":"illegal_argument_exception","reason":"pipeline with id [p] does not exist"}"#;
    let server = Server::bulk(move |request| {
        let items =
            vec![format!(r#"{{"index":{{"status":400,"error":{cause}}}}}"#); request.records()];
        ok(&format!(r#"{{"items":[{}]}}"#, items.join(",")))
    });
    assert_error(
        server.delivery(&[]).as_mut(),
        ErrorKind::Invalid,
        "pipeline with id [p]",
    );
    let server = Server::bulk(|_| {
        answer(
            "400 Bad Request",
            "",
            r#"{"error":{"type":"parse_exception","reason":"no bulk"},"status":400}"#,
        )
    });
    assert_error(server.delivery(&[]).as_mut(), ErrorKind::Invalid, "no bulk");
}

#[test]
fn a_server_that_takes_less_gets_less_at_once() {
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&largest);
    let server = Server::bulk(move |request| {
        if request.body.len() > 1_000 {
            return answer("413 Payload Too Large", "", "too large");
        }
        seen.fetch_max(request.records(), Ordering::Relaxed);
        taken(request)
    });
    let mut delivery = server.delivery(&[]);
    assert_eq!(deliver(delivery.as_mut(), 200).unwrap(), []);
    assert!(largest.load(Ordering::Relaxed) > 5, "{largest:?}");
    let asked = server.asked.lock().unwrap();
    let taken = asked
        .iter()
        .filter(|request| request.is("POST") && request.body.len() <= 1_000);
    assert_eq!(taken.map(Request::records).sum::<usize>(), 200);
}

#[test]
fn a_record_that_is_too_large_alone_is_rejected() {
    let server = Server::bulk(|request| match request.body.contains(r#""_id":"1""#) {
        true => answer("413 Payload Too Large", "", "above 10 bytes"),
        false => taken(request),
    });
    let rejected = deliver(server.delivery(&[]).as_mut(), 3).unwrap();
    assert_eq!((rejected.len(), rejected[0].record), (1, 1));
    assert!(
        rejected[0].reason.contains("above 10 bytes"),
        "{rejected:?}"
    );
}

#[test]
fn credentials_are_sent_and_shown_to_nobody() {
    for (login, header) in [
        (
            &[("user", "job"), ("password", "hunter2")][..],
            "Basic am9iOmh1bnRlcjI=",
        ),
        (&[("api.key", "hunter2")], "ApiKey hunter2"),
    ] {
        let server = Server::answering(|_| {
            answer(
                "401 Unauthorized",
                "",
                r#"{"error":{"type":"security_exception","reason":"missing"},"status":401}"#,
            )
        });
        let mut delivery = server.delivery(login);
        let error = assert_error(delivery.as_mut(), ErrorKind::Invalid, "'api.key'");
        assert!(!error.message.contains("hunter2"), "{error}");
        let asked = server.asked.lock().unwrap();
        let sent = asked[0].head.lines();
        let mut sent = sent.filter(|line| line.to_lowercase().starts_with("authorization"));
        assert!(sent.next().unwrap().ends_with(header), "{asked:?}");
    }
}

/// A healthy server by TLS, for clients with this certificate alone where there is one; the certificate of the server.
fn by_tls(client: Option<CertificateDer<'static>>) -> (Server, String) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match client {
        None => config.with_no_client_auth(),
        Some(certificate) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = config.with_single_cert(vec![own.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let server = Server::new(move |stream, asked| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        if let Some(request) = Request::read(&mut stream) {
            asked.lock().unwrap().push(request.clone());
            let answer = match request.is("POST /films/_bulk") {
                true => taken(&request),
                false => healthy(&request),
            };
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (server, own.cert.pem())
}

#[test]
fn a_server_by_tls_is_trusted_if_its_authority_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (server, pem) = by_tls(None);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let url = format!("https://localhost:{}", server.port);
    let mut trusted = delivery(&url, &[("ssl.ca.location", ca.to_str().unwrap())]).unwrap();
    assert_eq!(deliver(trusted.as_mut(), 3).unwrap(), []);
    let mut untrusted = delivery(&url, &[]).unwrap();
    assert_error(untrusted.as_mut(), ErrorKind::Invalid, "'ssl.ca.location'");
    let plain = format!("http://localhost:{}", server.port);
    assert!(deliver(delivery(&plain, &[]).unwrap().as_mut(), 3).is_err());
    let absent = delivery(&url, &[("ssl.ca.location", "/no/such/file.pem")]);
    assert_eq!(absent.err().unwrap().kind, ErrorKind::Invalid);
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours_and_lets_nobody_else_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let client = rcgen::generate_simple_self_signed(vec!["job".to_owned()]).unwrap();
    let (server, pem) = by_tls(Some(client.cert.der().clone()));
    let ca = file("ca.pem", pem);
    let certificate = file("certificate.pem", client.cert.pem());
    let key = file("key.pem", client.signing_key.serialize_pem());
    let url = format!("https://localhost:{}", server.port);
    let trust = ("ssl.ca.location", ca.as_str());
    let own = [
        trust,
        ("ssl.certificate.location", &*certificate),
        ("ssl.key.location", &*key),
    ];
    assert_eq!(
        deliver(delivery(&url, &own).unwrap().as_mut(), 3).unwrap(),
        []
    );
    let asked = server.asked.lock().unwrap().len();
    assert!(deliver(delivery(&url, &[trust]).unwrap().as_mut(), 3).is_err());
    assert_eq!(server.asked.lock().unwrap().len(), asked);
}
