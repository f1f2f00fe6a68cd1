//! The stages of the studio's job alone, in this process and on one thread: what each costs per record.
//!
//! Schemas and settings come from the plan of the shipped job, and each stage gets what the one before it gave out, epoch by epoch. Only the
//! calls of the stage are timed. Stateful stages keep their state in a real store in a temporary folder; joins and reductions run in a
//! timely dataflow with one worker.
//!
//! Does not promise that the stages add up to the job: there, projections and exchanges come on top, several joins and reductions follow each
//! other, and everything shares caches.

mod dataflow;
mod inputs;
mod pipeline;
mod planned;
mod projections;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use inputs::Inputs;

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
    /// Root of the workspace.
    pub root: PathBuf,
}

/// What a stage cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Records that went in.
    pub records: u64,
    /// Records that came out.
    pub output: u64,
    /// Time in the stage.
    pub took: Duration,
}

impl Cost {
    /// Nanoseconds per record that went in.
    #[must_use]
    pub fn ns_per_record(&self) -> f64 {
        self.took.as_secs_f64() * 1e9 / as_float(self.records.max(1))
    }
}

/// What the stages cost, in their order.
#[derive(Debug, Default)]
pub struct Costs {
    events: u64,
    stages: Vec<(&'static str, Cost)>,
}

impl Costs {
    /// Adds to a stage.
    fn add(&mut self, stage: &'static str, cost: Cost) {
        match self.stages.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, sum)) => {
                sum.records += cost.records;
                sum.output += cost.output;
                sum.took += cost.took;
            }
            None => self.stages.push((stage, cost)),
        }
    }

    /// The stages' share of an event of the whole mix.
    fn ns_per_event(&self, cost: &Cost) -> f64 {
        cost.took.as_secs_f64() * 1e9 / as_float(self.events.max(1))
    }

    /// The line's figures.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let sum: f64 = self
            .stages
            .iter()
            .map(|(_, cost)| self.ns_per_event(cost))
            .sum();
        let by_stage = |figure: &dyn Fn(&Cost) -> f64| -> BTreeMap<&str, f64> {
            self.stages
                .iter()
                .map(|(name, cost)| (*name, figure(cost).round()))
                .collect()
        };
        json!({
            "events": self.events,
            "ns_per_record": by_stage(&Cost::ns_per_record),
            "ns_per_event": by_stage(&|cost| self.ns_per_event(cost)),
            "ns_per_event_sum": sum.round(),
            "events_per_s": (1e9 / sum).round(),
        })
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>10} {:>10} {:>14} {:>13}",
            "stage", "in", "out", "ns per record", "ns per event"
        )?;
        for (name, cost) in &self.stages {
            let (per_record, per_event) = (cost.ns_per_record(), self.ns_per_event(cost));
            writeln!(
                f,
                "{name:<12} {:>10} {:>10} {per_record:>14.0} {per_event:>13.0}",
                cost.records, cost.output
            )?;
        }
        Ok(())
    }
}

/// Runs all stages.
///
/// # Errors
/// If a stage fails, or the shipped job has changed so much that its stages are not found.
pub fn run(settings: &Settings) -> Result<Costs> {
    let inputs = Inputs::generate(settings)?;
    let mut best: Option<Costs> = None;
    for _ in 0..settings.repeats.max(1) {
        let costs = pipeline::run(&inputs)?;
        best = Some(match best {
            None => costs,
            Some(best) => Costs {
                events: best.events,
                stages: fastest(best.stages, &costs.stages),
            },
        });
    }
    Ok(best.unwrap_or_default())
}

fn fastest(
    best: Vec<(&'static str, Cost)>,
    other: &[(&'static str, Cost)],
) -> Vec<(&'static str, Cost)> {
    let pairs = best.into_iter().zip(other);
    pairs
        .map(|(best, other)| {
            if other.1.took < best.1.took {
                *other
            } else {
                best
            }
        })
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^52"
)]
const fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_gets_records_and_costs_time() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let costs = run(&Settings {
            events: 5_000,
            seed: 1,
            epoch_events: 1_000,
            repeats: 1,
            root,
        })
        .unwrap();
        let names: Vec<_> = costs.stages.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "decode",
                "watermark",
                "dedup",
                "table",
                "resequence",
                "window",
                "join",
                "reduce",
                "sink"
            ]
        );
        for (name, cost) in &costs.stages {
            assert!(
                cost.records > 0 && cost.took > Duration::ZERO,
                "{name}: {cost:?}"
            );
        }
    }

    #[test]
    fn of_each_stage_the_fastest_run_counts() {
        let cost = |ms| Cost {
            records: 1,
            output: 1,
            took: Duration::from_millis(ms),
        };
        let best = fastest(
            vec![("decode", cost(5)), ("dedup", cost(2))],
            &[("decode", cost(3)), ("dedup", cost(9))],
        );
        assert_eq!(
            best.iter()
                .map(|(_, cost)| cost.took.as_millis())
                .collect::<Vec<_>>(),
            [3, 2]
        );
    }
}
