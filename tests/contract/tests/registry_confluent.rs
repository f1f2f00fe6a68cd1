//! The contracts of a registry, on a real one with Confluent's API: Apicurio, by TLS.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, process};

use tidemill_connectors_api::Registry;
use tidemill_connectors_api::registry::{Compatibility, Schema, SchemaId, SchemaKind};
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_registry::Confluent;
use tidemill_connectors_registry::options::ConfluentOptions;
use tidemill_tests_broker::registry::Apicurio;
use tidemill_tests_contract::registries::World;
use tidemill_tests_contract::registry_contracts;
use tidemill_types::ErrorKind;

/// The registry of this test process, and the certificate that it shows.
struct Shared {
    apicurio: Apicurio,
    certificate: PathBuf,
}

impl Shared {
    fn start() -> Self {
        let data =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("registry-{}", process::id()));
        fs::create_dir_all(&data).unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| data.join(name));
        fs::write(&certificate, certified.cert.pem()).unwrap();
        fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
        Self {
            apicurio: Apicurio::start(&data, Some([&certificate, &key])).unwrap(),
            certificate,
        }
    }

    fn get() -> &'static Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn by_tls(&self) -> ConfluentOptions {
        ConfluentOptions {
            ca: Some(self.certificate.clone()),
            ..ConfluentOptions::new(&self.apicurio.tls_url()).unwrap()
        }
    }

    /// Sets the level of a subject: where nobody does, it is NONE.
    fn set_level(&self, subject: &str, level: Compatibility) {
        self.apicurio.set_level(subject, level.name()).unwrap();
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
    // Of two who ask at once whether a schema is there, both may hear that it is not: each gets a version, of one id.
    const IN_TURN: bool = false;

    fn client(&mut self) -> Box<dyn Registry> {
        let options = Shared::get().by_tls();
        Box::new(Confluent::new(&options, Policy::OWN).unwrap())
    }

    fn subject(&self, name: &str) -> String {
        format!("{name}-{}", self.0)
    }

    fn set_level(&mut self, subject: &str, level: Compatibility) {
        Shared::get().set_level(subject, level);
    }
}

registry_contracts!(Server::new());

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let options = ConfluentOptions {
        ca: None,
        ..Shared::get().by_tls()
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
    let url = Shared::get().apicurio.url();
    let server = url.strip_suffix("/apis/ccompat/v7").unwrap();
    for url in [
        server.to_owned(),
        format!("{server}/apis"),
        format!("{url}/nothing"),
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
    let options = Shared::get().by_tls();
    let client = Confluent::new(&options, Policy::OWN).unwrap();
    client
        .register(&subject, &Schema::new(SchemaKind::Avro, r#""string""#))
        .unwrap();
    Shared::get().set_level(&subject, Compatibility::Backward);
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
