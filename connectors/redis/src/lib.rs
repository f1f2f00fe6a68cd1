//! Redis as a connector: a sink's rows are keys there, as strings or as hashes, or entries of a stream.
//!
//! Promises: what is done at the server is done in steps, each of which has some records and how far they came in one script, so that every
//! record takes effect once, whoever delivers it and however often; keys of another type are not overwritten, but told record by record, in
//! Redis's words; what a step costs in time, there and here, is bounded; no credentials are in a message.
//! Does not: read, follow a cluster's redirects, promise more than the server's own persistence keeps, or wait and try again: whoever delivers
//! does.

mod delivery;
mod error;
mod options;
mod progress;
mod records;
mod script;
mod session;

use tidemill_connectors_api::{Connector, ConnectorOptions, Delivery, DeliverySpec, Error};
use tidemill_connectors_http::guard::Policy;

/// The connector `redis`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redis {
    /// Where a URL may lead.
    pub policy: Policy,
}

impl Connector for Redis {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        let delivery = delivery::RedisDelivery::new(spec, self.policy)?;
        Ok(Box::new(delivery))
    }
}
