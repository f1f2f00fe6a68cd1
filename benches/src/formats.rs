//! What decoding costs per record, in one thread: each format beside what its library does with the same records alone.
//!
//! The records are drawn once and lie in memory; of some runs the fastest counts. The reference parses a record into a typed structure of the
//! columns that are read (serde's), and throws it away: it makes no columns, checks no type of SQL and keeps nothing.

mod avro;
mod protobuf;
mod records;

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tidemill_types::RawRecords;
use tidemill_types::format::{Clocks, Column, Formats, Options, SourceSpec};
use tidemill_types::system_columns::Kept;

use crate::report::rounded;
use records::Sample;

/// How many records lie in memory.
const RECORDS: usize = 20_000;
/// How often they are decoded.
const RUNS: usize = 40;

/// What one format costs.
#[derive(Debug)]
pub struct Figure {
    /// What was decoded.
    pub name: &'static str,
    /// Records a second.
    pub records_per_s: f64,
    /// What is not to be undercut, and what is wished for, in records a second.
    pub floor: f64,
    /// See `floor`.
    pub goal: f64,
    /// Records a second of the reference.
    pub reference_per_s: f64,
    /// The mean size of a record, in bytes.
    pub bytes: f64,
}

/// Decodes every sample.
///
/// # Errors
/// If a record is not decoded to a row.
pub fn run() -> Result<Vec<Figure>> {
    let formats = tidemill_formats::all();
    let samples = records::samples(RECORDS);
    samples
        .iter()
        .map(|sample| measured(&formats, sample))
        .collect()
}

/// All figures as the bench's line has them, and whether all floors are met.
#[must_use]
pub fn to_json(figures: &[Figure]) -> Value {
    let of = |figure: &Figure| {
        let value = json!({
            "value": figure.records_per_s.round(),
            "floor": figure.floor,
            "goal": figure.goal,
            "ns": rounded(1e9 / figure.records_per_s),
            "of_reference": rounded(figure.records_per_s / figure.reference_per_s),
            "bytes": figure.bytes.round(),
        });
        (format!("{}_records_per_s", figure.name), value)
    };
    let all: Map<String, Value> = figures.iter().map(of).collect();
    let floors_met = figures
        .iter()
        .all(|figure| figure.records_per_s >= figure.floor);
    json!({"figures": all, "floors_met": floors_met})
}

fn measured(formats: &Formats, sample: &Sample) -> Result<Figure> {
    let options: Options = sample
        .options
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let columns: Vec<Column> = sample.columns.clone();
    let format = formats.named(sample.format).context("a format")?;
    let mut decoder = format.decoder(&SourceSpec {
        topic: "bench",
        envelope: sample.envelope,
        columns: &columns,
        kept: Kept::default(),
        time_limit: None,
        contracts: None,
        key_contracts: None,
        options: &options,
    })?;
    let decoded = decoder.decode(&sample.records, Clocks::default());
    ensure!(
        decoded.rows.num_rows() == sample.records.len(),
        "{}: {:?}",
        sample.name,
        decoded.dead_letters.first()
    );
    let took = best(|| {
        black_box(decoder.decode(&sample.records, Clocks::default()));
    });
    let reference = best(|| parse_all(&sample.records, sample.reference));
    Ok(Figure {
        name: sample.name,
        records_per_s: per_s(took),
        floor: sample.floor,
        goal: sample.goal,
        reference_per_s: per_s(reference),
        bytes: bytes_per_record(&sample.records),
    })
}

fn parse_all(records: &RawRecords, parse: fn(&[u8]) -> usize) {
    let parsed: usize = records
        .iter()
        .map(|record| parse(record.value.unwrap_or_default()))
        .sum();
    black_box(parsed);
}

/// The shortest of all runs.
fn best(mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..RUNS).map(time).min().unwrap_or(Duration::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "some thousands of records")]
fn per_s(took: Duration) -> f64 {
    RECORDS as f64 / took.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn bytes_per_record(records: &RawRecords) -> f64 {
    records.bytes() as f64 / records.len() as f64
}
