//! Services that take records one by one, over HTTP: each is a POST, with a key by which the service knows it again.
//!
//! A service remembers nothing for us, so how far it has come stands in a file of the job. Between a request and the file's next state a crash can
//! happen: the record is then posted again, under the same `Idempotency-Key`, and a service that ignores keys that it has seen has it once.
//!
//! Promises: records are posted one after the other, in their order; a record counts as delivered when the service said so (2xx), or refused it by
//! name; the file never says more. Does not make a service that ignores the key have a record once.

mod delivery;
mod message;
mod options;
mod progress;

use tidemill_connectors_api::{Connector, ConnectorOptions, Delivery, DeliverySpec, Error};
use tidemill_connectors_http::guard::Policy;
use tidemill_types::ErrorKind;

/// The connector `webhook`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Webhook {
    /// Where a URL may lead.
    pub policy: Policy,
}

impl Connector for Webhook {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        let delivery = delivery::WebhookDelivery::new(spec, self.policy)?;
        Ok(Box::new(delivery))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn retry(message: String) -> Error {
    Error::new(ErrorKind::Retry, message)
}
