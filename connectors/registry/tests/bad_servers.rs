//! What answers at a URL, and is no registry, or a broken one: each is an error within the bound. And who may ask: credentials, certificates.
//!
//! Catches: a client that waits, reads or follows without a bound, or tells a secret. Cannot catch: what a real registry answers; the contracts
//! run on one.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tidemill_connectors_api::registry::{Schema, SchemaId, SchemaKind};
use tidemill_connectors_api::{Error, Options, Registry};
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_registry::options::{ConfluentOptions, RegistryOptions};
use tidemill_connectors_registry::{Confluent, Folder};
use tidemill_types::ErrorKind;

const TIMEOUT: Duration = Duration::from_millis(600);

/// A server on a port of its own, which does with each connection what it is told to. It ends with this process.
struct Server {
    port: u16,
    /// The heads of the requests that were read.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(serve: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (serve, heads) = (Arc::new(serve), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, heads) = (Arc::clone(&serve), Arc::clone(&heads));
                thread::spawn(move || serve(stream.unwrap(), &heads));
            }
        });
        Self { port, asked }
    }

    /// Answers every request with the same bytes.
    fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::new(move |stream, asked| {
            let head = head(&stream);
            asked.lock().unwrap().push(head);
            // The client may have gone already.
            let _ = (&stream).write_all(answer.as_bytes());
        })
    }

    fn options(&self) -> ConfluentOptions {
        let url = format!("http://127.0.0.1:{}", self.port);
        ConfluentOptions {
            timeout: TIMEOUT,
            ..ConfluentOptions::new(&url).unwrap()
        }
    }

    fn client(&self) -> Confluent {
        Confluent::new(&self.options(), Policy::OWN).unwrap()
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Reads a request without a body up to its empty line.
fn head(stream: impl Read) -> String {
    let mut head = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap_or_default();
        if line.is_empty() {
            break;
        }
        head.push_str(&line);
        head.push('\n');
    }
    head
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

/// Asks for a schema; what came of it must have come within the timeout and a margin for a busy machine.
fn ask(client: &Confluent) -> Result<Option<Schema>, Error> {
    let start = Instant::now();
    let answer = client.schema(SchemaId(7));
    assert!(start.elapsed() < TIMEOUT + Duration::from_secs(5));
    answer
}

fn assert_kind(client: &Confluent, kind: ErrorKind, part: &str) {
    let error = ask(client).unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(part), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = ConfluentOptions::new(&url).unwrap();
    let client = Confluent::new(&options, Policy::OWN).unwrap();
    assert_kind(&client, ErrorKind::Retry, &url);
}

#[test]
fn a_server_that_says_nothing_is_away_after_the_timeout() {
    let server = Server::new(|stream, _| {
        // Until the client hangs up.
        let _ = (&stream).read_to_end(&mut Vec::new());
    });
    assert_kind(&server.client(), ErrorKind::Retry, "away");
}

#[test]
fn a_server_that_drips_its_answer_is_away_after_the_timeout() {
    let server = Server::new(|stream, _| {
        head(&stream);
        let mut stream = &stream;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::yield_now();
            thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert_kind(&server.client(), ErrorKind::Retry, "away");
}

#[test]
fn an_answer_without_an_end_is_refused() {
    let server = Server::new(|stream, _| {
        head(&stream);
        let mut stream = &stream;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 65_536]).is_ok() {}
    });
    let options = ConfluentOptions {
        timeout: Duration::from_secs(60),
        ..server.options()
    };
    let client = Confluent::new(&options, Policy::OWN).unwrap();
    let error = client.schema(SchemaId(7)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("16777216 bytes"), "{error}");
}

#[test]
fn what_is_no_registry_is_refused_by_name() {
    let page = response(
        "200 OK",
        "Content-Type: text/html\r\n",
        "<html>Log in</html>",
    );
    let no_page = response("404 Not Found", "", "<html>Not here</html>");
    let other_json = response("200 OK", "", r#"{"hello":"world"}"#);
    let other_kind = response("200 OK", "", r#"{"schema":"x","schemaType":"THRIFT"}"#);
    for answer in [page, no_page, other_json, other_kind] {
        let server = Server::answering(answer);
        assert_kind(&server.client(), ErrorKind::Invalid, "no schema registry");
        assert_eq!(server.count(), 1);
    }
    let server = Server::answering("SSH-2.0-OpenSSH_9.2\r\n");
    assert_kind(&server.client(), ErrorKind::Invalid, "does not speak HTTP");
}

#[test]
fn absence_is_only_what_a_registry_calls_so() {
    let body = r#"{"error_code":40403,"message":"Schema not found"}"#;
    let server = Server::answering(response("404 Not Found", "", body));
    assert_eq!(ask(&server.client()).unwrap(), None);
}

#[test]
fn a_server_in_trouble_is_asked_three_times() {
    let body = r#"{"error_code":50001,"message":"Error in the backend data store"}"#;
    for status in ["500 Error", "503 Unavailable", "429 Too Many Requests"] {
        let server = Server::answering(response(status, "", body));
        assert_kind(&server.client(), ErrorKind::Retry, "backend data store");
        assert_eq!(server.count(), 3, "{status}");
    }
}

#[test]
fn a_redirect_is_not_followed_wherever_it_leads() {
    let other = Server::answering(response("200 OK", "", r#"{"schema":"\"int\""}"#));
    let elsewhere = format!("http://127.0.0.1:{}/schemas/ids/7", other.port);
    for to in [&*elsewhere, "http://169.254.169.254/latest/meta-data/"] {
        let location = format!("Location: {to}\r\n");
        let server = Server::answering(response("302 Found", &location, ""));
        assert_kind(&server.client(), ErrorKind::Invalid, to);
    }
    assert_eq!(other.count(), 0);
}

#[test]
fn a_url_that_leads_to_a_refused_address_is_not_connected_to() {
    for url in [
        "http://169.254.169.254",
        "http://[::ffff:169.254.169.254]/",
        // The same number, as resolvers read it.
        "http://2852039166",
        "http://0.0.0.0:8081",
    ] {
        let options = ConfluentOptions::new(url).unwrap();
        let client = Confluent::new(&options, Policy::OWN).unwrap();
        assert_kind(&client, ErrorKind::Invalid, "not allowed");
    }
    let server = Server::answering(response("200 OK", "", r#"{"schema":"\"int\""}"#));
    let by_name = ConfluentOptions::new(&format!("http://localhost:{}", server.port)).unwrap();
    for options in [server.options(), by_name] {
        let client = Confluent::new(&options, Policy::SHARED).unwrap();
        assert_kind(&client, ErrorKind::Invalid, "this machine");
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let server = Server::answering(response("401 Unauthorized", "", r#"{"message":"no"}"#));
    let url = format!("http://127.0.0.1:{}", server.port);
    let auth = [
        (
            "schema.registry.basic.auth.user.info",
            "me:hunter2",
            "Basic bWU6aHVudGVyMg==",
        ),
        (
            "schema.registry.bearer.auth.token",
            "hunter2",
            "Bearer hunter2",
        ),
    ];
    for (option, secret, header) in auth {
        let options = options(&[("schema.registry.url", &url), (option, secret)]);
        let parsed = RegistryOptions::parse(&options).unwrap().unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"));
        let RegistryOptions::Confluent(options) = &parsed else {
            panic!("a URL is of a server")
        };
        let client = Confluent::new(options, Policy::OWN).unwrap();
        let error = ask(&client).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(!error.message.contains("hunter2"), "{error}");
        assert!(!format!("{client:?}").contains("hunter2"));
        let asked = server.asked.lock().unwrap().last().unwrap().clone();
        let sent = asked
            .lines()
            .find(|line| line.to_lowercase().starts_with("authorization"));
        assert!(sent.unwrap().ends_with(header), "{asked}");
    }
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours_and_lets_nobody_else_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let make = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (own, client) = (make(), make());
    let mut roots = RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain: Vec<CertificateDer<'static>> = vec![own.cert.der().clone()];
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let server = Server::new(move |stream, asked| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let head = head(&mut stream);
        if !head.is_empty() {
            asked.lock().unwrap().push(head);
            let answer = response("200 OK", "", r#"{"schema":"\"int\""}"#);
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let url = format!("https://localhost:{}", server.port);
    let (ca, certificate) = (
        file("ca.pem", own.cert.pem()),
        file("certificate.pem", client.cert.pem()),
    );
    let key = file("key.pem", client.signing_key.serialize_pem());
    let with = options(&[
        ("schema.registry.url", &url),
        ("schema.registry.ssl.ca.location", ca.to_str().unwrap()),
        (
            "schema.registry.ssl.certificate.location",
            certificate.to_str().unwrap(),
        ),
        ("schema.registry.ssl.key.location", key.to_str().unwrap()),
    ]);
    let registry = RegistryOptions::parse(&with).unwrap().unwrap();
    let registry = registry.open(Policy::OWN).unwrap();
    let schema = registry.schema(SchemaId(7)).unwrap();
    assert_eq!(schema, Some(Schema::new(SchemaKind::Avro, r#""int""#)));
    let without: Options = with
        .into_iter()
        .filter(|(name, _)| !name.contains("certificate") && !name.contains("key"))
        .collect();
    let registry = RegistryOptions::parse(&without).unwrap().unwrap();
    registry
        .open(Policy::OWN)
        .unwrap()
        .schema(SchemaId(7))
        .unwrap_err();
    assert_eq!(server.count(), 1);
}

fn options(pairs: &[(&str, &str)]) -> Options {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn options_that_say_nothing_or_too_much_are_refused() {
    assert_eq!(RegistryOptions::parse(&Options::new()).unwrap(), None);
    let url = ("schema.registry.url", "https://registry:8081/");
    for (pairs, part) in [
        (vec![url, ("schema.registry.folder", "contracts")], "both"),
        (
            vec![("schema.registry.timeout", "1 s")],
            "no 'schema.registry.url'",
        ),
        (vec![("schema.registry.url", "registry:8081")], "https://"),
        (vec![("schema.registry.url", "ftp://registry")], "https://"),
        (
            vec![("schema.registry.url", "file:///etc/passwd")],
            "no URL",
        ),
        (
            vec![("schema.registry.url", "https://registry/?key=1")],
            "'?'",
        ),
        (vec![url, ("schema.registry.timeout", "fast")], "10 s"),
        (
            vec![url, ("schema.registry.basic.auth.user.info", "me")],
            "user:password",
        ),
        (
            vec![url, ("schema.registry.bearer.auth.token", "a b")],
            "no token",
        ),
        (
            vec![url, ("schema.registry.ssl.key.location", "k")],
            "go together",
        ),
        (
            vec![
                ("schema.registry.folder", "c"),
                ("schema.registry.bearer.auth.token", "t"),
            ],
            "is a folder",
        ),
    ] {
        let error = RegistryOptions::parse(&options(&pairs)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    let with_password = options(&[("schema.registry.url", "https://me:hunter2@registry")]);
    let error = RegistryOptions::parse(&with_password).unwrap_err();
    assert!(error.message.contains("basic.auth.user.info"), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
}

#[test]
fn a_folder_tells_what_is_wrong_with_what_lies_in_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path());
    let subject = root.path().join("orders-value");
    let put = |name: &str, text: &str| std::fs::write(subject.join(name), text).unwrap();
    std::fs::create_dir(&subject).unwrap();
    put("0001.avsc", r#""int""#);
    put("README.md", "what this is about");
    let first = folder.latest("orders-value").unwrap().unwrap();
    assert_eq!(first.id, SchemaId(1));
    put("0002.avsc", "{");
    let error = folder.latest("orders-value").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(error.message.contains("0002.avsc"), "{error}");
    put("0002.avsc", r#""long""#);
    assert_eq!(
        folder.latest("orders-value").unwrap().unwrap().id,
        SchemaId(2)
    );
    put("0001.avsc", r#""long""#);
    let error = folder.schema(SchemaId(1)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    put("newest.avsc", r#""long""#);
    let error = folder.versions("orders-value").unwrap_err();
    assert!(error.message.contains("named as no version"), "{error}");
    let missing = Folder::new(root.path().join("nowhere"));
    let error = missing.latest("orders-value").unwrap_err();
    assert!(error.message.contains("there is no folder"), "{error}");
}
