//! What is built into this binary: the one place where connectors and formats are wired in.

use std::sync::Arc;

use tidemill_connectors_api::Connector;
use tidemill_connectors_files::Files;
pub use tidemill_connectors_files::journal;
use tidemill_connectors_kafka::Kafka;
use tidemill_connectors_postgres::Postgres;
use tidemill_connectors_redis::Redis;
use tidemill_connectors_search::Search;
use tidemill_connectors_webhook::Webhook;
pub use tidemill_formats::all as formats;

/// All connectors.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(Kafka),
        Arc::new(Files),
        Arc::new(Postgres),
        Arc::new(Redis::default()),
        Arc::new(Search::default()),
        Arc::new(Webhook::default()),
    ]
}
