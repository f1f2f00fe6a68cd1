//! The plan of the shipped job, and generated events as its sources would hand them over: raw batches per epoch, source and partition.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tidemill_connectors_api::Connector;
use tidemill_connectors_kafka::Kafka;
use tidemill_jobs::options::no_secrets;
use tidemill_jobs::plan::{JobPlan, Node, NodeId, SourcePlan};
use tidemill_jobs::{self as jobs, Profile, plan_job};
use tidemill_operators::decode::RawBatch;
use tidemill_studio::generator::Unpaced;
use tidemill_studio::{EventSink, Generator, Topic};
use tidemill_types::RawRecords;
use tidemill_types::format::{Clocks, NoContracts};

use super::Settings;
use crate::launch::FINANCE_JOB;

/// Between two epochs.
const EPOCH_MS: i64 = 100;

/// What all runs start from.
pub struct Inputs {
    /// The job.
    pub plan: JobPlan,
    /// Per epoch what each source brings.
    pub epochs: Vec<Vec<(usize, RawBatch)>>,
    /// Partitions of each source.
    pub partitions: Vec<u32>,
    /// Events in all.
    pub events: u64,
}

impl Inputs {
    /// Plans the job and generates its events.
    pub fn generate(settings: &Settings) -> Result<Self> {
        let path = settings.root.join(FINANCE_JOB);
        let sql =
            std::fs::read_to_string(&path).with_context(|| format!("'{}'", path.display()))?;
        let context = jobs::Context {
            profile: &Profile::default(),
            environment: &|_| None,
            secrets: &no_secrets,
            formats: &tidemill_formats::all(),
            connectors: &[Kafka.options()],
            contracts: &NoContracts,
        };
        let plan = plan_job("studio_finance", &sql, context)?;
        let generator = tidemill_studio::Settings {
            events: settings.events,
            seed: settings.seed,
            ..tidemill_studio::Settings::default()
        };
        // Everything is read after it happened, as a job does that catches up.
        let mut gatherer = Gatherer {
            plan: &plan,
            epoch_events: settings.epoch_events.max(1),
            clock_ms: generator.start_ms + generator.span_ms,
            ..Gatherer::new(&plan)
        };
        Generator::new(&generator)?.run(&mut gatherer, &mut Unpaced)?;
        gatherer.close();
        let epochs = gatherer.epochs;
        Ok(Self {
            plan,
            epochs,
            partitions: (0..generator.partitions).collect(),
            events: settings.events,
        })
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Result<(NodeId, &Node)> {
        let mut nodes = self.plan.nodes.iter().enumerate();
        nodes.find(|(_, node)| node.name == name).with_context(|| {
            format!("the shipped job has no node '{name}'; name its successor in the bench")
        })
    }

    /// The clock of an epoch.
    pub fn clock_ms(&self, epoch: usize) -> i64 {
        self.epochs[epoch]
            .first()
            .map_or(0, |(_, batch)| batch.clocks.wall_ms)
    }
}

struct Gatherer<'a> {
    plan: &'a JobPlan,
    epoch_events: u64,
    clock_ms: i64,
    gathered: u64,
    open: BTreeMap<(usize, u32), RawBatch>,
    offsets: BTreeMap<(usize, u32), i64>,
    epochs: Vec<Vec<(usize, RawBatch)>>,
}

impl<'a> Gatherer<'a> {
    const fn new(plan: &'a JobPlan) -> Self {
        Self {
            plan,
            epoch_events: 1,
            clock_ms: 0,
            gathered: 0,
            open: BTreeMap::new(),
            offsets: BTreeMap::new(),
            epochs: Vec::new(),
        }
    }

    fn close(&mut self) {
        if self.gathered > 0 {
            let epoch = std::mem::take(&mut self.open);
            self.epochs.push(
                epoch
                    .into_iter()
                    .map(|((source, _), batch)| (source, batch))
                    .collect(),
            );
            (self.gathered, self.clock_ms) = (0, self.clock_ms + EPOCH_MS);
        }
    }
}

impl EventSink for Gatherer<'_> {
    fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), tidemill_studio::Error> {
        let is_of = |source: &SourcePlan| source.topic() == topic.name();
        let source = self.plan.sources.iter().position(is_of).ok_or_else(|| {
            tidemill_studio::Error::port(topic.name(), "the shipped job does not read it")
        })?;
        let clock_ms = self.clock_ms;
        let batch = self
            .open
            .entry((source, partition))
            .or_insert_with(|| RawBatch {
                records: RawRecords::of(partition),
                clocks: Clocks {
                    wall_ms: clock_ms,
                    steady_ms: clock_ms,
                },
                ..RawBatch::default()
            });
        let offset = self.offsets.entry((source, partition)).or_default();
        batch.records.push(*offset, Some(key), Some(value));
        *offset += 1;
        self.gathered += 1;
        if self.gathered == self.epoch_events {
            self.close();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), tidemill_studio::Error> {
        Ok(())
    }
}
