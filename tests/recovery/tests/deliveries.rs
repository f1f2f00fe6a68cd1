//! The contracts of deliveries, on the simulated targets: what they promise is what the real ones do.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use serde_json::{Value, json};
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Options};
use tidemill_tests_contract::deliveries::{KEY, Target, schema};
use tidemill_tests_contract::delivery_contracts;
use tidemill_tests_kit::sim::targets::{MISFIT, SimTargets};
use tidemill_types::format::Contents;

impl Target for Simulated {
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        let key = [KEY.to_owned()];
        let spec = DeliverySpec {
            job: "job",
            name: sink,
            options: &Options::new(),
            schema: &schema(),
            key: if contents == Contents::Rows {
                &[]
            } else {
                &key
            },
            contents,
        };
        self.0.delivery(&spec).unwrap()
    }

    fn there(&mut self, sink: &str) -> Vec<Value> {
        let values = self.0.lock().values(sink);
        let values = values.iter().map(|value| serde_json::from_slice(value));
        let mut values: Vec<Value> = values.collect::<Result<_, _>>().unwrap();
        values.sort_by_key(|value| value["id"].as_i64());
        values
    }

    fn go_away(&mut self) {
        self.0.lock().set_away(true);
    }

    fn come_back(&mut self) {
        self.0.lock().set_away(false);
    }

    fn misfit(&mut self, _: &str) -> Option<Value> {
        Some(json!({"id": 2, "label": MISFIT, "amount": null, "at": null}))
    }
}

struct Simulated(SimTargets);

delivery_contracts!(Simulated(SimTargets::new(0)));
