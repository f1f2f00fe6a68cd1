//! The contracts of a registry, on a real one with Confluent's API: Apicurio, by TLS.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, process};

use tidemill_connectors_api::Registry;
use tidemill_connectors_api::registry::{Compatibility, Schema, SchemaId, SchemaKind};
use tidemill_connectors_registry::Confluent;
use tidemill_connectors_registry::guard::Policy;
use tidemill_connectors_registry::options::ConfluentOptions;
use tidemill_tests_contract::registries::World;
use tidemill_tests_contract::registry_contracts;
use tidemill_types::ErrorKind;

/// A registry of this test process, which `scripts/registry.sh` also ends when this process is gone.
struct Apicurio {
    data: PathBuf,
    port: u16,
    tls_port: u16,
}

impl Apicurio {
    fn start() -> Self {
        let data =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("registry-{}", process::id()));
        fs::create_dir_all(&data).unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(data.join("certificate.pem"), certified.cert.pem()).unwrap();
        fs::write(data.join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, tls_port] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/registry.sh");
        let output = Command::new(script)
            .arg("start")
            .env("REGISTRY_DATA", &data)
            .env("REGISTRY_PORT", port.to_string())
            .env("REGISTRY_TLS_PORT", tls_port.to_string())
            .env("REGISTRY_CERTIFICATE", data.join("certificate.pem"))
            .env("REGISTRY_KEY", data.join("key.pem"))
            .env("REGISTRY_OWNER", process::id().to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        Self {
            data,
            port,
            tls_port,
        }
    }

    fn shared() -> &'static Self {
        static APICURIO: OnceLock<Apicurio> = OnceLock::new();
        APICURIO.get_or_init(Self::start)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    fn by_tls(&self) -> ConfluentOptions {
        let url = format!("https://localhost:{}/apis/ccompat/v7/", self.tls_port);
        ConfluentOptions {
            ca: Some(self.data.join("certificate.pem")),
            ..ConfluentOptions::new(&url).unwrap()
        }
    }

    /// Sets the level of a subject: where nobody does, it is NONE.
    fn set_level(&self, subject: &str, level: Compatibility) {
        let url = format!("{}/config/{subject}", self.url());
        let body = format!(r#"{{"compatibility":"{level}"}}"#);
        let set = ureq::put(&url)
            .header("Content-Type", "application/json")
            .send(body);
        assert!(set.unwrap().status().is_success());
    }
}

/// What one contract sees of it: subjects of its own.
struct Server(usize);

impl Server {
    fn new() -> Self {
        static WORLDS: AtomicUsize = AtomicUsize::new(0);
        Self(WORLDS.fetch_add(1, Ordering::Relaxed))
    }
}

impl World for Server {
    fn client(&mut self) -> Box<dyn Registry> {
        let options = Apicurio::shared().by_tls();
        Box::new(Confluent::new(&options, Policy::OWN).unwrap())
    }

    fn subject(&self, name: &str) -> String {
        format!("{name}-{}", self.0)
    }

    fn set_level(&mut self, subject: &str, level: Compatibility) {
        Apicurio::shared().set_level(subject, level);
    }
}

registry_contracts!(Server::new());

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let options = ConfluentOptions {
        ca: None,
        ..Apicurio::shared().by_tls()
    };
    let client = Confluent::new(&options, Policy::OWN).unwrap();
    let error = client.subjects().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert!(
        error.message.contains("schema.registry.ssl.ca.location"),
        "{error}"
    );
}

#[test]
fn a_url_that_leads_beside_the_api_is_refused() {
    let apicurio = Apicurio::shared();
    for url in [
        format!("http://127.0.0.1:{}", apicurio.port),
        format!("http://127.0.0.1:{}/apis", apicurio.port),
        format!("{}/nothing", apicurio.url()),
    ] {
        let options = ConfluentOptions::new(&url).unwrap();
        let client = Confluent::new(&options, Policy::OWN).unwrap();
        let error = client.schema(SchemaId(1)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        assert!(error.message.contains("schema.registry.url"), "{error}");
    }
}

#[test]
fn the_registry_s_own_words_come_after_ours() {
    let subject = Server::new().subject("words-value");
    let options = Apicurio::shared().by_tls();
    let client = Confluent::new(&options, Policy::OWN).unwrap();
    client
        .register(&subject, &Schema::new(SchemaKind::Avro, r#""string""#))
        .unwrap();
    Apicurio::shared().set_level(&subject, Compatibility::Backward);
    let long = Schema::new(SchemaKind::Avro, r#""long""#);
    let differences = client.differences(&subject, &long).unwrap();
    let words: Vec<_> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        words[0],
        format!(
            "is written as string and read as long (the new schema must read '{subject}' version 1)"
        )
    );
    assert!(words[1].starts_with("the registry says: "), "{words:?}");
}
