//! The stages of the studio's job alone, in this process: what each costs per record, by one worker and by several side by side.
//!
//! Schemas and settings come from the plan of the shipped job, and each stage gets what the one before it gave out, epoch by epoch. Only the
//! calls of the stage are measured. Stateful stages keep their state in a real store in a temporary folder; what keeps arrangements runs in a
//! timely dataflow; what talks to Kafka does so for real, if asked.
//!
//! Does not promise that the stages add up to the job: there, projections and exchanges come on top, several joins and reductions follow each
//! other, and everything shares caches. Workers side by side each read their partitions; only the stages with arrangements exchange rows.

mod cost;
mod dataflow;
mod inputs;
mod kafka;
mod pipeline;
mod plain;
mod planned;
mod projections;
pub mod section;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};
use tidemill_types::OutputRecords;

use crate::broker::Broker;
use crate::budget::Counts;
use inputs::Inputs;

pub use cost::{Cost, Costs};

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Events in all.
    pub events: u64,
    /// Seed of the generator.
    pub seed: u64,
    /// Events in an epoch.
    pub epoch_events: u64,
    /// How often everything is run; of each stage the fastest counts, since whatever disturbs only adds.
    pub repeats: usize,
    /// With how many workers, each a run of its own.
    pub workers: Vec<usize>,
    /// Starts a broker, and measures the stages that talk to it.
    pub kafka: bool,
    /// Root of the workspace.
    pub root: PathBuf,
}

/// What a run has measured.
#[derive(Debug)]
pub struct Figures {
    /// Events of the whole mix.
    pub events: u64,
    /// By number of workers, in the order asked for.
    pub by_workers: Vec<(usize, Costs)>,
    /// The stages that talk to Kafka, if they were asked for.
    pub kafka: Option<Costs>,
}

impl Figures {
    /// What `bench-check` must know of the first number of workers' run.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let costs = self.by_workers.first().map(|(_, costs)| costs);
        let stages = costs.iter().flat_map(|costs| &costs.stages);
        let ends = costs.iter().flat_map(|costs| &costs.ends);
        Counts {
            records: stages
                .map(|(name, cost)| ((*name).to_owned(), cost.records))
                .collect(),
            ends: ends.map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The line's figures: those of the first number of workers, then those of the others.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut line = json!({ "events": self.events });
        let mut more = self.by_workers.iter();
        if let (Some((_, costs)), Some(line)) = (more.next(), line.as_object_mut())
            && let Value::Object(figures) = costs.to_json()
        {
            line.extend(figures);
        }
        for (workers, costs) in more {
            line[format!("workers_{workers}")] = costs.to_json();
        }
        if let Some(costs) = &self.kafka {
            line["kafka"] = costs.to_json();
        }
        line
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (workers, costs) in &self.by_workers {
            let s = if *workers == 1 { "" } else { "s" };
            writeln!(f, "{workers} worker{s}\n{costs}")?;
        }
        if let Some(costs) = &self.kafka {
            writeln!(f, "with Kafka\n{costs}")?;
        }
        Ok(())
    }
}

/// Runs all stages.
///
/// # Errors
/// If a stage fails, or the shipped job has changed so much that its stages are not found.
pub fn run(settings: &Settings) -> Result<Figures> {
    let inputs = Inputs::generate(settings)?;
    let (mut by_workers, mut written) = (Vec::new(), Vec::new());
    for &workers in &settings.workers {
        let mut best;
        (best, written) = pipeline::run(&inputs, workers)?;
        for _ in 1..settings.repeats {
            best = best.fastest(&pipeline::run(&inputs, workers)?.0);
        }
        by_workers.push((workers, best));
    }
    let kafka = settings
        .kafka
        .then(|| with_kafka(&inputs, settings, &written));
    Ok(Figures {
        events: settings.events,
        by_workers,
        kafka: kafka.transpose()?,
    })
}

fn with_kafka(inputs: &Inputs, settings: &Settings, written: &[OutputRecords]) -> Result<Costs> {
    let folder = tempfile::tempdir()?;
    let broker = Broker::start(&folder.path().join("kafka"))?;
    kafka::fill(inputs, &broker)?;
    let mut best = kafka::run(inputs, &broker, written)?;
    for _ in 1..settings.repeats {
        best = best.fastest(&kafka::run(inputs, &broker, written)?);
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Settings, run};

    const STAGES: [&str; 13] = [
        "decode",
        "watermark",
        "dedup",
        "resequence",
        "table",
        "window",
        "arrange",
        "join fact",
        "join dimension",
        "join left",
        "lookup",
        "reduce",
        "sink encode",
    ];

    #[test]
    fn every_stage_gets_all_records_whatever_the_number_of_workers() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let figures = run(&Settings {
            events: 5_000,
            seed: 1,
            epoch_events: 1_000,
            repeats: 1,
            workers: vec![1, 2],
            kafka: false,
            root,
        })
        .unwrap();
        let records = |of: usize| -> Vec<_> {
            let stages = figures.by_workers[of].1.stages.iter();
            let mut records: Vec<_> = stages
                .map(|(name, cost)| (*name, cost.records, cost.output))
                .collect();
            records.sort_unstable();
            records
        };
        let mut names = STAGES;
        names.sort_unstable();
        assert_eq!(records(0).iter().map(|of| of.0).collect::<Vec<_>>(), names);
        for ((name, one_in, _), (_, two_in, _)) in records(0).into_iter().zip(records(1)) {
            assert!(one_in > 0, "{name}");
            // Each worker has a watermark of its own, which decides what is late.
            if !["watermark", "resequence"].contains(&name) {
                assert_eq!(one_in, two_in, "{name}");
            }
        }
    }
}
