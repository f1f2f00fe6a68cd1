//! The connector `sim`: sources and sinks over the simulated Kafka. Options: `topic`, and for a sink `partitions` and `record.bytes.max`.

use tidemill_connectors_api::{Committer, Connector, Error, Options, SinkSpec, Source};
use tidemill_types::ErrorKind;

use super::committer::{SimCommitter, SinkTopic};
use super::source::SimSource;
use super::{Kafka, committer};

/// The connector.
#[derive(Debug, Clone)]
pub struct SimConnector(pub Kafka);

impl SimConnector {
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
    fn name(&self) -> &'static str {
        "sim"
    }

    fn source(&self, _: &str, _: &str, options: &Options) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(SimSource::new(self.0.clone(), topic(options)?)))
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
