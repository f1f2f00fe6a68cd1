//! A real registry of schemas of a test, started by `scripts/registry.sh`, which also ends it when the test process is gone.

use std::path::PathBuf;
use std::process::Command;

use tidemill_connectors_registry::Confluent;
use tidemill_connectors_registry::guard::Policy;
use tidemill_connectors_registry::options::ConfluentOptions;
use tidemill_tests_broker::ports::free_ports;

use crate::binaries::{in_clone, scratch};

/// A registry with its own data and port.
pub struct Apicurio {
    data: PathBuf,
    port: u16,
}

impl Apicurio {
    /// Starts a registry without subjects.
    pub fn start(name: &str) -> Self {
        let data = scratch().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&data).unwrap();
        let port = free_ports(1).unwrap()[0];
        let registry = Self { data, port };
        registry.script("start");
        registry
    }

    /// Runs `scripts/registry.sh` for this registry.
    pub fn script(&self, command: &str) {
        let output = Command::new(in_clone("scripts/registry.sh"))
            .arg(command)
            .env("REGISTRY_DATA", &self.data)
            .env("REGISTRY_PORT", self.port.to_string())
            .env("REGISTRY_OWNER", std::process::id().to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// Where Confluent's API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// The next version of a subject must read what the newest wrote. (Without a level everything is allowed.)
    pub fn set_backward(&self, subject: &str) {
        let set = ureq::put(format!("{}/config/{subject}", self.url()))
            .header("Content-Type", "application/json")
            .send(r#"{"compatibility":"BACKWARD"}"#);
        assert!(set.unwrap().status().is_success());
    }

    /// Another client of it.
    pub fn client(&self) -> Confluent {
        let options = ConfluentOptions::new(&self.url()).unwrap();
        Confluent::new(&options, Policy::OWN).unwrap()
    }
}
