//! Indices of OpenSearch and Elasticsearch as sinks: each row is a document, brought there after the journal has its epoch.
//!
//! A document's id is its row's key and its version the epoch (an *external* version), so what comes again changes nothing and what comes late
//! is not taken. How far an index is stands in one document of the index `.tidemill-deliveries`, under the id (UUID) of the index: an index
//! that was deleted and made again begins anew, and no two sinks share one.
//!
//! Promises: what [`Delivery`] does; that a value is returned as it was given, digit by digit (`_source`); that nothing counts as delivered that
//! an index did not take or refuse by name. Does not wait until searches see a document (the index's refresh does that), and does not
//! change the mapping of an index that is there.

mod batch;
mod bulk;
mod delivery;
mod document;
mod index;
mod mapping;
mod options;
mod progress;
mod server;

use tidemill_connectors_api::{Connector, ConnectorOptions, Delivery, DeliverySpec, Error};
use tidemill_connectors_http::guard::Policy;
use tidemill_types::ErrorKind;

pub use progress::INDEX as PROGRESS_INDEX;

/// The connector `search`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search {
    /// Where a URL may lead.
    pub policy: Policy,
}

impl Connector for Search {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        let delivery = delivery::SearchDelivery::new(spec, self.policy)?;
        Ok(Box::new(delivery))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn retry(message: String) -> Error {
    Error::new(ErrorKind::Retry, message)
}
