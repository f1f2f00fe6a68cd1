//! The connector `sim`: sources and sinks over the simulated Kafka. Options: `topic` or `topic.pattern`, and for a sink `partitions` and `record.bytes.max`.

use tidemill_connectors_api::{
    Committer, Connector, ConnectorOptions, Error, Options, SinkKind, SinkSpec, Source, SourceSpec,
};
use tidemill_types::ErrorKind;

use super::committer::{SimCommitter, SinkTopic};
use super::source::{Selection, SimSource};
use super::{Kafka, committer};

/// The connector.
#[derive(Debug, Clone)]
pub struct SimConnector(pub Kafka);

impl SimConnector {
    /// The options that there are.
    #[must_use]
    pub fn known() -> ConnectorOptions {
        ConnectorOptions {
            name: "sim",
            source: vec!["topic", "topic.pattern"],
            sink: vec!["topic", "partitions", "record.bytes.max"],
            target: "topic",
            sinks: SinkKind::Transactional,
        }
    }

    /// The topic of a job's journal.
    #[must_use]
    pub fn journal_topic(job: &str) -> String {
        committer::journal_topic(job)
    }
}

fn topic(options: &Options) -> Result<String, Error> {
    let missing = || Error::new(ErrorKind::Invalid, "the option 'topic' is missing; add it");
    options.get("topic").cloned().ok_or_else(missing)
}

impl Connector for SimConnector {
    fn options(&self) -> ConnectorOptions {
        Self::known()
    }

    fn source(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Source>, Error> {
        let selection = Selection::of(spec.options)?;
        Ok(Box::new(SimSource::new(self.0.clone(), selection)))
    }

    fn committer(&self, job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error> {
        let sinks = sinks.iter().map(|sink| {
            let number = |option| sink.options.get(option).and_then(|set| set.parse().ok());
            Ok(SinkTopic {
                name: topic(&sink.options)?,
                partitions: number("partitions").unwrap_or(2),
                record_bytes_max: number("record.bytes.max").unwrap_or(1 << 20),
            })
        });
        let sinks = sinks.collect::<Result<_, Error>>()?;
        Ok(Box::new(SimCommitter::new(self.0.clone(), job, sinks)))
    }
}
