//! PostgreSQL as a connector: a sink is a table, which is given what is committed, rows and progress in one transaction.
//!
//! Promises: everything of an epoch is in the table or nothing, each epoch once, whoever delivers it and however often; what a table does not
//! take is told record by record, in PostgreSQL's words; a table that is not what the sink needs is refused with the SQL that would make it
//! so; what a step costs in time is bounded; no credentials are in a message.
//! Does not: read tables, change a table that is there, or wait and try again: whoever delivers does.

mod columns;
mod delivery;
mod error;
mod names;
mod options;
mod progress;
mod records;
mod session;
mod statements;
mod table;

use tidemill_connectors_api::{Connector, ConnectorOptions, Delivery, DeliverySpec, Error};

/// The connector `postgres`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

impl Connector for Postgres {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        Ok(Box::new(delivery::PostgresDelivery::new(spec)?))
    }
}
