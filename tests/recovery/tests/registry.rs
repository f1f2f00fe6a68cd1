//! The contracts of a registry, on the simulated one; and a job's cache over one that is mostly away.

use tidemill_connectors_api::registry::{Compatibility, Schema, SchemaKind};
use tidemill_connectors_api::{Error, Registry};
use tidemill_connectors_registry::Cached;
use tidemill_tests_contract::registries::World;
use tidemill_tests_contract::registry_contracts;
use tidemill_tests_kit::sim::registry::SimRegistry;
use tidemill_types::ErrorKind;

struct Simulated(SimRegistry);

impl World for Simulated {
    fn client(&mut self) -> Box<dyn Registry> {
        Box::new(self.0.clone())
    }

    fn subject(&self, name: &str) -> String {
        name.to_owned()
    }

    fn set_level(&mut self, subject: &str, level: Compatibility) {
        self.0.set_level(subject, level);
    }
}

registry_contracts!(Simulated(SimRegistry::new(1)));

/// Asks until there is an answer; a bound on how often is part of what is tested.
fn until_answered<T>(mut ask: impl FnMut() -> Result<T, Error>) -> T {
    for _ in 0..1_000 {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.kind, ErrorKind::Retry, "{error}"),
        }
    }
    panic!("there was no answer to a thousand questions")
}

#[test]
fn a_registry_that_is_mostly_away_gives_one_id_and_is_asked_no_more_than_once_it_answered() {
    for seed in 0..50 {
        let registry = SimRegistry::new(seed);
        let cache = tempfile::tempdir().unwrap();
        let cached = Cached::new(registry.clone(), cache.path());
        registry.set_away(600);
        let schema = Schema::new(SchemaKind::Avro, r#""string""#);
        let registered = until_answered(|| cached.register("orders", &schema));
        let found = until_answered(|| cached.schema(registered.id));
        assert_eq!(found, Some(schema.clone()), "seed {seed}");
        registry.set_away(1_000);
        let asked = registry.asked();
        assert_eq!(cached.schema(registered.id).unwrap(), found, "seed {seed}");
        let again = cached.register("orders", &schema).unwrap();
        assert_eq!(again, registered, "seed {seed}");
        assert_eq!(registry.asked(), asked, "seed {seed}");
        registry.set_away(0);
        assert_eq!(registry.versions("orders").unwrap(), [1], "seed {seed}");
    }
}
