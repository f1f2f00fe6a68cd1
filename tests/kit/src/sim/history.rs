//! What a simulation leaves: the committed epochs, each with what it was made of and what it wrote.

use std::collections::BTreeMap;

use tidemill_checkpoints::{Journal, Record};
use tidemill_connectors_api::seam::{LIVE, Seam};

use super::kafka::{Brokers, Header, SimConnector};
use super::targets::Pair;

/// A record that a sink wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Partition of the sink's topic.
    pub partition: usize,
    /// Key; empty for none.
    pub key: Vec<u8>,
    /// Value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers beside the epoch's.
    pub headers: Vec<Header>,
    /// Its time, in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// A committed epoch.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its journal record.
    pub record: Record,
    /// By topic, what its sinks wrote.
    pub writes: BTreeMap<String, Vec<Write>>,
}

/// Reads what was committed.
///
/// # Errors
/// What no history can be: an epoch twice, or left out, or outputs of an epoch that the journal does not have.
pub fn read(brokers: &Brokers, job: &str, sinks: &[String]) -> Result<Vec<Committed>, String> {
    let journal = brokers.ever_committed(&SimConnector::journal_topic(job), 0);
    let bytes: Vec<_> = journal
        .iter()
        .map(|(_, record)| record.value.clone().unwrap_or_default())
        .collect();
    let records = Journal::decode(&bytes)
        .map_err(|error| error.to_string())?
        .records;
    let mut epochs = BTreeMap::new();
    for (record, wanted) in records.into_iter().zip(1..) {
        if record.epoch.0 != wanted {
            return Err(format!(
                "the journal has epoch {} where {wanted} belongs",
                record.epoch
            ));
        }
        epochs.insert(
            wanted,
            Committed {
                record,
                writes: BTreeMap::new(),
            },
        );
    }
    for sink in sinks {
        let partitions = brokers.partitions(sink);
        for partition in 0..partitions {
            let mut newest = 0;
            for (offset, record) in brokers.ever_committed(sink, partition) {
                let epoch = record.epoch.unwrap_or(0);
                if epoch < newest {
                    return Err(format!(
                        "'{sink}' has epoch {epoch} after {newest}, at offset {offset} of partition {partition}"
                    ));
                }
                newest = epoch;
                let Some(committed) = epochs.get_mut(&epoch) else {
                    return Err(format!(
                        "'{sink}' has a record of epoch {epoch}, which the journal does not have"
                    ));
                };
                committed
                    .writes
                    .entry(sink.clone())
                    .or_default()
                    .push(Write {
                        partition,
                        key: record.key.clone().unwrap_or_default(),
                        value: record.value.clone(),
                        headers: record.headers.clone(),
                        timestamp_ms: record.timestamp_ms,
                    });
            }
        }
    }
    Ok(epochs.into_values().collect())
}

/// Nothing live is read before the history is read to its end.
///
/// # Errors
/// If an epoch did.
pub fn check_seams(history: &[Committed]) -> Result<(), String> {
    let mut started = BTreeMap::new();
    for record in history.iter().map(|committed| &committed.record) {
        for (source, positions) in &record.started {
            let positions = positions.iter();
            started.extend(positions.map(|(&number, &at)| ((source, number), at)));
        }
        for (source, positions) in &record.positions {
            let Some(seam) = Seam::parse(&record.incarnations[source]) else {
                continue;
            };
            let is_over = seam
                .ends
                .iter()
                .all(|(number, end)| positions[number] >= *end);
            let mut live = positions.range(LIVE..);
            let has_moved =
                |(&number, at): (&u32, &i64)| started.get(&(source, number)) != Some(at);
            if !is_over && live.any(has_moved) {
                let epoch = record.epoch;
                return Err(format!(
                    "epoch {epoch} reads '{source}' live before its history is over"
                ));
            }
        }
    }
    Ok(())
}

/// Adds what a sink's target was given to the epochs that it is of.
///
/// # Errors
/// If it has a parcel of an epoch that the journal does not have.
pub fn add_parcels(
    history: &mut [Committed],
    sink: &str,
    parcels: BTreeMap<u64, Vec<Pair>>,
) -> Result<(), String> {
    for (epoch, pairs) in parcels {
        let mut committed = history.iter_mut();
        let committed = committed.find(|committed| committed.record.epoch.0 == epoch);
        let committed = committed.ok_or_else(|| {
            format!("'{sink}' was delivered epoch {epoch}, which the journal does not have")
        })?;
        let writes = pairs.into_iter().map(|(key, value)| Write {
            partition: 0,
            key,
            value,
            headers: Vec::new(),
            timestamp_ms: 0,
        });
        let of_sink = committed.writes.entry(sink.to_owned()).or_default();
        of_sink.extend(writes);
    }
    Ok(())
}
