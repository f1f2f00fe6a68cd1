//! Transactions that the brokers left without an end in some partitions, and giving them the end that they had.
//!
//! A fence has the coordinator end what the owner before left open or was just committing, and is answered when every partition has its
//! marker. Kafka 4 leaves out a partition that has no leader at that moment, as after its only broker was killed: it takes it for deleted
//! (`TransactionMarkerChannelManager`, "likely deleted already and hence can be skipped"). From then on the coordinator holds the transaction
//! for complete, and readers of committed data wait in front of it. Kafka calls it hanging (KIP-664).
//!
//! Whatever the same producer ends in that partition next ends the hanging transaction, too, and in the same way. Were it a commit of the
//! rows that the hanging one has already, they would be there twice; were it an abort, rows that were committed would be gone. So before
//! anything else is written, the partitions get the end that the coordinator tells of: one more transaction, with no record in it.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use rdkafka::ClientConfig;
use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;

use crate::native::Fetcher;
use crate::native::admin::End;
use crate::options::CommitterOptions;
use crate::topics;
use crate::wire::{Coordinator, Failure};

/// How long the brokers may take to write the markers of the transaction that ends a hanging one.
const END_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long the brokers may take to make visible what was committed, after one of them went away.
const MARKERS_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a coordinator may take until it knows its transactions.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How the newest transaction of an owner ended, or will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// What it wrote counts.
    Committed,
    /// What it wrote never was.
    Aborted,
}

/// Partitions of topics.
pub type Partitions = Vec<(String, Vec<u32>)>;

/// How the newest transaction of a producer ends. To be asked before the fence, which makes the coordinator forget it. `None` if there was none,
/// or a fence came after it, or the brokers cannot be asked.
pub fn newest_end(options: &CommitterOptions) -> Result<Option<Ended>, Error> {
    let since = Instant::now();
    loop {
        match ask_newest_end(&options.producer) {
            Ok(end) => return Ok(end),
            Err(
                Failure::Refused(ResponseError::TransactionalIdNotFound) | Failure::Security(_),
            ) => return Ok(None),
            // Just after its start it loads what it knows, or makes the topic for that.
            Err(Failure::Refused(code))
                if code.is_retriable() && since.elapsed() < LOAD_WAIT_MAX =>
            {
                std::thread::sleep(LOOK_AGAIN);
            }
            // To go on without it would be to guess.
            Err(failure) => {
                let message = format!(
                    "kafka at '{}' does not tell how the job's newest transaction ended: {failure}; it is tried again",
                    options.bootstrap
                );
                return Err(Error::new(ErrorKind::Retry, message));
            }
        }
    }
}

fn ask_newest_end(producer: &ClientConfig) -> Result<Option<Ended>, Failure> {
    let mut coordinator = Coordinator::find(producer)?;
    if !coordinator.can_describe()? {
        return Ok(None);
    }
    Ok(end_of(&coordinator.describe()?.state))
}

fn end_of(state: &str) -> Option<Ended> {
    match state {
        "PrepareCommit" | "CompleteCommit" => Some(Ended::Committed),
        // What is open, the fence aborts.
        "Ongoing" | "PrepareAbort" | "CompleteAbort" => Some(Ended::Aborted),
        _ => None,
    }
}

/// Partitions in which a transaction has no end: of this job, or of whoever else writes there.
pub fn open_partitions(reader: &Fetcher, names: &[&str]) -> Result<Partitions, Error> {
    let mut open = Partitions::new();
    let mut written = Vec::with_capacity(names.len());
    for &name in names {
        let partitions = topics::partitions(reader, name)?.unwrap_or_default();
        let places = topics::places(name, &partitions);
        let ends = topics::offsets(reader, &places, End::Written)?;
        written.push((places, ends));
    }
    // Asked after the others: what was written since does not count.
    for (&name, (places, written)) in names.iter().zip(&written) {
        let readable = topics::offsets(reader, places, End::Newest)?;
        let ends = written.iter().zip(&readable);
        let of_topic = places
            .iter()
            .zip(ends)
            .filter(|(_, (written, readable))| readable < written);
        let of_topic: Vec<u32> = of_topic.map(|(place, _)| place.partition).collect();
        if !of_topic.is_empty() {
            open.push((name.to_owned(), of_topic));
        }
    }
    Ok(open)
}

/// Waits a moment until no transaction is without an end. Fails if one may be hanging: the next one must not be begun then, since it would end both.
pub fn await_end(reader: &Fetcher, options: &CommitterOptions) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        let open = open_partitions(reader, &options.topics())?;
        let Some((topic, _)) = open.first() else {
            return Ok(());
        };
        if since.elapsed() > MARKERS_WAIT_MAX {
            let message = format!(
                "a broker of kafka at '{}' went away just after a commit, and topic '{topic}' does not show it yet; it is looked after",
                options.bootstrap
            );
            return Err(Error::new(ErrorKind::Retry, message));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// After a fence, gives hanging transactions of the owner before their end. `newest` is what [`newest_end`] said before the fence.
pub fn finish(
    reader: &Fetcher,
    options: &CommitterOptions,
    newest: Option<Ended>,
) -> Result<(), Error> {
    let open = open_partitions(reader, &options.topics())?;
    if open.is_empty() {
        return Ok(());
    }
    // Where others write, their transactions are open, too; one more end of the job's own changes nothing for them.
    let is_sure = open
        .iter()
        .any(|(topic, _)| *topic == options.journal_topic);
    if newest.is_none() && is_sure {
        tracing::warn!(
            ?open,
            "the brokers left a transaction of the job without an end and do not tell which it had; it is aborted"
        );
    }
    let end = newest.unwrap_or(Ended::Aborted);
    match write_end(&options.producer, &open, end) {
        Ok(()) if is_sure => {
            tracing::warn!(
                ?open,
                ?end,
                "the brokers left a transaction of the job without its end; it has it now"
            );
        }
        Ok(()) => tracing::debug!(
            ?open,
            ?end,
            "partitions with an open transaction got an end"
        ),
        Err(Failure::Security(protocol)) if !is_sure => {
            tracing::debug!(
                ?open,
                protocol,
                "partitions have an open transaction, perhaps of others"
            );
        }
        Err(failure) => return Err(not_finished(options, &failure)),
    }
    if open_partitions(reader, &[&options.journal_topic])?.is_empty() {
        return Ok(());
    }
    Err(not_finished(
        options,
        &Failure::Protocol("the journal still has an open transaction".to_owned()),
    ))
}

fn not_finished(options: &CommitterOptions, failure: &Failure) -> Error {
    let kind = match failure {
        Failure::Security(_) | Failure::Login(_) => ErrorKind::Invalid,
        _ => ErrorKind::Retry,
    };
    let message = format!(
        "the brokers left a transaction of the job without an end in topic '{}' or one of its sinks', and it could not be given it: {failure}; \
         'kafka-transactions.sh --bootstrap-server {} find-hanging' tells more of it",
        options.journal_topic, options.bootstrap
    );
    Error::new(kind, message)
}

/// A transaction without records that ends as the hanging one.
fn write_end(producer: &ClientConfig, open: &Partitions, end: Ended) -> Result<(), Failure> {
    let mut coordinator = Coordinator::find(producer)?;
    let owner = coordinator.describe()?;
    coordinator.add(&owner, open)?;
    coordinator.end(&owner, end == Ended::Committed)?;
    let since = Instant::now();
    loop {
        let state = coordinator.describe()?.state;
        if state.starts_with("Complete") {
            return Ok(());
        }
        if since.elapsed() > END_WAIT_MAX {
            return Err(Failure::Protocol(format!(
                "the transaction stays in state {state}"
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, end_of};

    #[test]
    fn what_is_open_is_aborted_by_the_fence_and_what_was_prepared_ends_as_it_was() {
        assert_eq!(end_of("Ongoing"), Some(Ended::Aborted));
        assert_eq!(end_of("PrepareAbort"), Some(Ended::Aborted));
        assert_eq!(end_of("PrepareCommit"), Some(Ended::Committed));
        assert_eq!(end_of("CompleteCommit"), Some(Ended::Committed));
        assert_eq!(end_of("Empty"), None);
    }
}
