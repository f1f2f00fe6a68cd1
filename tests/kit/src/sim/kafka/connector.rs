//! The connector `sim`: sources and sinks over the simulated Kafka. Options: `topic`, and for a sink `partitions`.

use tidemill_connectors_api::{Committer, Connector, Error, Options, SinkSpec, Source};
use tidemill_types::ErrorKind;

use super::committer::SimCommitter;
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
            let partitions = sink
                .options
                .get("partitions")
                .and_then(|count| count.parse().ok());
            Ok((topic(&sink.options)?, partitions.unwrap_or(2)))
        });
        let sinks = sinks.collect::<Result<_, Error>>()?;
        Ok(Box::new(SimCommitter::new(self.0.clone(), job, sinks)))
    }
}
