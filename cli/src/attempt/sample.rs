//! The first records of a topic.

use std::time::{Duration, Instant};

use tidemill_connectors_api::{Source, SourceBatch, SourceSpec};
use tidemill_terminal::Failure;
use tidemill_types::{ErrorKind, RawRecord, RawRecords};

use super::options::Target;
use crate::plugins;

/// How long is waited for the next records, when some are to come.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const POLL_WAIT: Duration = Duration::from_millis(200);
const POLL_BYTES: usize = 1 << 20;
/// So many records are shown, and so much of each.
const SHOWN: usize = 3;
const SHOWN_CHARS: usize = 200;

/// What was read.
pub struct Sample {
    /// Records by partition and poll.
    pub records: Vec<RawRecords>,
}

impl Sample {
    /// Reads about so many records, from the oldest on.
    pub fn read(target: &Target, count: usize) -> anyhow::Result<Self> {
        let connectors = plugins::connectors();
        let connector = connectors
            .iter()
            .find(|known| known.options().name == target.connector)
            .ok_or_else(|| {
                Failure::invalid(format!("there is no connector '{}'", target.connector))
            })?;
        let mut source = connector.source(&SourceSpec {
            headers: true,
            ..SourceSpec::new("try", "try", &target.options)
        })?;
        let records = read(source.as_mut(), count)?;
        Ok(Self { records })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.iter().map(RawRecords::len).sum()
    }

    /// The first of them, for people.
    pub fn shown(&self) -> Vec<String> {
        let all = self.records.iter().flat_map(RawRecords::iter);
        all.take(SHOWN).map(|record| shown(&record)).collect()
    }
}

fn read(source: &mut dyn Source, count: usize) -> anyhow::Result<Vec<RawRecords>> {
    let described = source.describe("")?;
    let ends = source.end_offsets()?;
    let oldest: Vec<_> = described
        .partitions
        .iter()
        .map(|&partition| (partition, None))
        .collect();
    let mut open: Vec<(u32, i64)> = source.open(&oldest)?;
    let (mut records, mut read) = (Vec::new(), 0);
    let mut last = Instant::now();
    let is_at_end = |open: &[(u32, i64)]| {
        let at = |partition: u32| open.iter().find(|(of, _)| *of == partition);
        ends.iter()
            .all(|&(partition, end)| at(partition).is_none_or(|&(_, at)| at >= end))
    };
    while read < count && !is_at_end(&open) && last.elapsed() < SILENCE_MAX {
        let mut batches: Vec<SourceBatch> = Vec::new();
        match source.poll(POLL_WAIT, POLL_BYTES, &mut batches) {
            Err(error) if error.kind() != ErrorKind::Retry => return Err(error.into()),
            _ => {}
        }
        for batch in batches {
            last = Instant::now();
            let position = open.iter_mut().find(|(of, _)| *of == batch.partition());
            if let Some((_, at)) = position {
                *at = batch.next_offset;
            }
            let wanted = batch.records.len().min(count - read);
            read += wanted;
            records.push(batch.records.part(0..wanted));
        }
    }
    Ok(records)
}

fn shown(record: &RawRecord<'_>) -> String {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let short: String = text
            .chars()
            .take(SHOWN_CHARS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if short.len() < text.len() {
            format!("{short}…")
        } else {
            short
        }
    };
    let mut line = match record.key {
        Some(key) => format!("{} => ", text(key)),
        None => String::new(),
    };
    line += &record.value.map_or_else(|| "null".to_owned(), text);
    for (name, value) in record.headers {
        let value = value.map_or_else(|| "null".to_owned(), text);
        line += &format!(" [{}: {value}]", text(name));
    }
    line
}
