//! Reads back what a sink wrote, to where it ends now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_connectors_api::{Connector, Options, SourceBatch, SourceSpec};
use tidemill_jobs::plan::SinkPlan;
use tidemill_terminal::Failure;
use tidemill_types::ErrorKind;

use crate::plugins;

/// How long is waited for the next records, when some are to come.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const POLL_WAIT: Duration = Duration::from_millis(200);
const POLL_BYTES: usize = 1 << 20;

/// The connector of a name.
pub fn connector(name: &str) -> Result<Arc<dyn Connector>, Failure> {
    let mut connectors = plugins::connectors().into_iter();
    let found = connectors.find(|known| known.options().name == name);
    found.ok_or_else(|| Failure::invalid(format!("there is no connector '{name}'")))
}

/// Calls `on_value` with the value of every record that the sink committed.
pub fn read(
    job: &str,
    sink: &SinkPlan,
    on_value: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let connector = connector(&sink.connector)?;
    let taken = connector.options().source;
    let options: Options = (sink.options.iter())
        .filter(|(name, _)| taken.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut source = connector.source(&SourceSpec::new(job, &sink.name, &options))?;
    let partitions = source.describe("")?.partitions;
    let ends = source.end_offsets()?;
    let oldest: Vec<_> = partitions.iter().map(|&number| (number, None)).collect();
    let mut open: BTreeMap<u32, i64> = source.open(&oldest)?.into_iter().collect();
    let mut last = Instant::now();
    let is_left = |open: &BTreeMap<u32, i64>| {
        let mut ends = ends.iter();
        ends.any(|(partition, end)| open.get(partition).is_some_and(|at| at < end))
    };
    while is_left(&open) {
        let mut batches: Vec<SourceBatch> = Vec::new();
        match source.poll(POLL_WAIT, POLL_BYTES, &mut batches) {
            Err(error) if error.kind() != ErrorKind::Retry => return Err(error.into()),
            Err(error) if last.elapsed() > SILENCE_MAX => return Err(error.into()),
            _ => {}
        }
        if last.elapsed() > SILENCE_MAX {
            let message = format!(
                "topic '{}' gives no more records although it has some; look at the brokers, then try again",
                sink.target
            );
            return Err(Failure::new(ErrorKind::Retry, message).into());
        }
        for batch in batches {
            last = Instant::now();
            for record in batch.records.iter() {
                record.value.map_or(Ok(()), &mut *on_value)?;
            }
            open.insert(batch.partition(), batch.next_offset);
        }
    }
    Ok(())
}
