//! Kafka as a connector: a source that reads topics at exact offsets, and a committer that writes all sinks of a job and its journal in
//! one transaction per commit.
//!
//! Promises: positions are exact and only committed records are read; what is retained no longer, or is of a topic that was made again, is
//! refused, never skipped; a commit is one Kafka transaction (outputs and journal record; the consumer group is told the source offsets
//! besides); an owner that was replaced can commit nothing any more (KIP-98 fencing).
//! Does not: join consumer groups, read partitions or topics that were added since a source was opened (it tells of them), or resume a transaction whose
//! outcome is unknown: the journal tells.
//! All `unsafe` lies in `native`: librdkafka's batch calls, which its Rust binding doesn't offer.

pub mod append;
mod committer;
mod context;
mod error;
mod group_offsets;
mod hanging;
mod journal;
mod limits;
mod login;
mod native;
mod oidc;
mod options;
mod producer;
mod replay;
mod selection;
mod source;
mod start;
pub mod tools;
mod topics;
mod wire;

use tidemill_connectors_api::{
    Committer, Connector, ConnectorOptions, Error, Replay, SinkSpec, Source, SourceSpec,
};

/// The connector `kafka`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kafka;

impl Connector for Kafka {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn source(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Source>, Error> {
        let options = options::SourceOptions::parse(spec)?;
        Ok(Box::new(source::KafkaSource::new(options, spec.headers)))
    }

    fn committer(&self, job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error> {
        let options = options::CommitterOptions::parse(job, sinks)?;
        Ok(Box::new(committer::KafkaCommitter::new(options)))
    }

    fn reads(&self, spec: &SourceSpec<'_>, topic: &str) -> Result<bool, Error> {
        Ok(options::SourceOptions::parse(spec)?.topics.takes(topic))
    }

    fn replay(&self, spec: &SourceSpec<'_>, topic: &str) -> Result<Box<dyn Replay>, Error> {
        Ok(Box::new(replay::KafkaReplay::new(spec, topic)?))
    }
}
