//! Who is let in: tokens, TLS, and where is listened without them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tidemill_collect::settings::{Endpoint, Key, Settings, Tls, Token};
use tidemill_collect::{Collector, Error};
use tidemill_types::ErrorKind;

use crate::server::{Running, create_topic, settings, shared, values};

/// Everybody's, and one of its own.
fn two_endpoints(topic: &str) -> Settings {
    let general = Endpoint {
        topic: topic.to_owned(),
        key: Key::None,
        tokens: Vec::new(),
    };
    let own = Endpoint {
        tokens: vec![Token::new(b"own")],
        ..general.clone()
    };
    Settings {
        endpoints: BTreeMap::from([("general".to_owned(), general), ("own".to_owned(), own)]),
        tokens: vec![Token::new(b"old"), Token::new(b"new")],
        ..settings(shared(), topic, Key::None)
    }
}

#[test]
fn without_a_valid_token_nothing_is_taken_or_told() {
    create_topic(shared(), "tokens", 1, &[]);
    let running = Running::start(two_endpoints("tokens"));
    let post = |name: &str, authorization: &str| {
        let headers = format!("Content-Type: application/json\r\n{authorization}");
        running.connect().post_with(name, &headers, b"{}").status
    };
    for wrong in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic old\r\n",
        "Authorization: Bearer old\r\nAuthorization: Bearer new\r\n",
        "Authorization: Bearer own\r\n",
    ] {
        assert_eq!(post("general", wrong), 401, "{wrong:?}");
    }
    assert_eq!(post("own", "Authorization: Bearer old\r\n"), 401);
    // Without a token one does not even learn what there is not.
    assert_eq!(post("other", ""), 401);
    assert_eq!(post("other", "Authorization: Bearer own\r\n"), 404);
    let get = |path: &str, authorization: &str| {
        let mut client = running.connect();
        client.request(&format!("GET {path}"), authorization, b"");
        client.answer().status
    };
    assert_eq!(get("/metrics", ""), 401);
    assert_eq!(get("/metrics", "Authorization: Bearer new\r\n"), 200);
    assert_eq!(get("/healthz", ""), 200);
    assert!(values(shared(), "tokens").is_empty());
    for token in ["old", "new"] {
        assert_eq!(
            post("general", &format!("Authorization: bearer {token}\r\n")),
            200
        );
    }
    assert_eq!(post("own", "Authorization: Bearer own\r\n"), 200);
    assert_eq!(values(shared(), "tokens").len(), 3);
    running.stop();
}

#[test]
fn elsewhere_than_on_the_own_machine_it_listens_only_with_tls_and_tokens() {
    create_topic(shared(), "exposed", 1, &[]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("collect-exposed");
    let (tls, _) = certificate(&folder);
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let open = |tls: Option<Tls>, tokens: Vec<Token>| {
        Collector::open(Settings {
            listen: everywhere,
            tls,
            tokens,
            ..settings(shared(), "exposed", Key::None)
        })
    };
    let token = || vec![Token::new(b"x")];
    for (tls, tokens) in [
        (None, Vec::new()),
        (None, token()),
        (Some(tls.clone()), Vec::new()),
    ] {
        let error = open(tls, tokens).map(drop).unwrap_err();
        assert!(matches!(error, Error::Exposed { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains("put a TLS proxy before it"),
            "{error}"
        );
    }
    open(Some(tls), token()).unwrap();
}

#[test]
fn with_a_certificate_it_speaks_tls() {
    create_topic(shared(), "tls", 1, &[]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("collect-tls");
    let (tls, trusted) = certificate(&folder);
    let running = Running::start(Settings {
        tls: Some(tls),
        ..settings(shared(), "tls", Key::None)
    });
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(running.address).unwrap();
    let mut client = StreamOwned::new(connection, socket);
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
    for (body, closes) in [("{}", ""), (&*large, "Connection: close\r\n")] {
        let head = "POST /events/tls HTTP/1.1\r\nContent-Type: application/json\r\n";
        let request = format!("{head}{closes}Content-Length: {}\r\n\r\n{body}", body.len());
        client.write_all(request.as_bytes()).unwrap();
        client.flush().unwrap();
    }
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    assert_eq!(told.matches("HTTP/1.1 200 OK").count(), 2, "{told}");
    assert_eq!(values(shared(), "tls"), ["{}", &*large]);
    // Who does not speak it is hung up on.
    assert_eq!(running.connect().try_answer_to("tls"), None);
    running.stop();
}

#[test]
fn a_certificate_that_is_none_is_named() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("collect-no-certificate");
    let (tls, _) = certificate(&folder);
    let opened = |tls: Tls| {
        let opened = Collector::open(Settings {
            tls: Some(tls),
            ..settings(shared(), "none", Key::None)
        });
        opened.map(drop).unwrap_err().to_string()
    };
    let said = opened(Tls {
        certificate: tls.key.clone(),
        ..tls.clone()
    });
    assert!(
        said.contains("key.pem") && said.contains("no certificate"),
        "{said}"
    );
    let said = opened(Tls {
        key: folder.join("nowhere.pem"),
        ..tls
    });
    assert!(said.contains("nowhere.pem"), "{said}");
}

/// A certificate for this machine with its key, in a folder.
fn certificate(folder: &Path) -> (Tls, CertificateDer<'static>) {
    fs::create_dir_all(folder).unwrap();
    let names = vec!["localhost".to_owned()];
    let made = generate_simple_self_signed(names).unwrap();
    let tls = Tls {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&tls.certificate, made.cert.pem()).unwrap();
    fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    (tls, made.cert.der().clone())
}
