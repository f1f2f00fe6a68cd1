//! A real registry of schemas of a test.

use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_registry::Confluent;
use tidemill_connectors_registry::options::ConfluentOptions;
use tidemill_tests_broker::registry::Apicurio;

use crate::binaries::scratch;

/// Starts a registry without subjects.
pub fn start(name: &str) -> Apicurio {
    let data = scratch().join(format!("{name}-{}", std::process::id()));
    Apicurio::start(&data, None).unwrap()
}

/// Another client of it.
pub fn client(registry: &Apicurio) -> Confluent {
    let options = ConfluentOptions::new(&registry.url()).unwrap();
    Confluent::new(&options, Policy::OWN).unwrap()
}
