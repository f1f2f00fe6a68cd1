//! PostgreSQL as a connector: a sink is a table, which is given what is committed, rows and progress in one transaction; a source is the
//! changes of a table, read from the server's log.
//!
//! Promises: everything of an epoch is in the table or nothing, each epoch once, whoever delivers it and however often; what a table does not
//! take is told record by record, in PostgreSQL's words; a table that is not what the sink needs is refused with the SQL that would make it
//! so; what a step costs in time is bounded; no credentials are in a message.
//! A source's snapshot and its changes meet exactly, no transaction is cut, and what is read again is the same at the same positions.
//! Does not: change a table that is there, or wait and try again: whoever delivers does.

mod columns;
mod delivery;
mod error;
mod names;
mod options;
mod progress;
mod records;
mod session;
mod source;
mod statements;
mod table;

use tidemill_connectors_api::{
    Connector, ConnectorOptions, Delivery, DeliverySpec, Error, Source, SourceSpec,
};

/// The connector `postgres`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postgres;

impl Connector for Postgres {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn source(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(source::PostgresSource::new(spec)?))
    }

    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        Ok(Box::new(delivery::PostgresDelivery::new(spec)?))
    }
}
