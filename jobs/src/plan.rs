//! The job plan: what a SQL job lowers to, as data. The engine renders it; nothing here executes.
//!
//! Promises: every node's output schema has unique column names, every expression refers to its input's columns by those names without
//! a qualifier, inputs have smaller ids than the nodes that read them, and the text form ([`std::fmt::Display`]) is stable: the same SQL
//! gives the same text, and the plan's identity is a hash of that text.

mod aggregate;
mod dead_letters;
mod dedup;
mod distinct;
mod filter;
mod image;
mod join;
mod late;
mod project;
mod resequence;
mod source;
mod stage;
mod star_join;
mod table;
mod tumble;
mod union_all;
mod window_aggregate;

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
pub use tidemill_types::format::{Column, ColumnOrigin, Contents};
use tidemill_types::format::{
    Contract, Contracts, Schemas, SinkMetadata, SinkSpec, SourceSpec, TimeLimit,
};
use tidemill_types::options::Options;
use tidemill_types::system_columns::Kept;

pub use aggregate::{Aggregate, AggregateCall};
pub use dead_letters::DeadLetters;
pub use dedup::Dedup;
pub use distinct::Distinct;
pub use filter::Filter;
pub use image::Image;
pub use join::{Join, JoinKind};
pub use late::Late;
pub use project::Project;
pub use resequence::Resequence;
pub use source::Source;
pub use stage::{Durable, Names, Stage, State};
pub use star_join::{Dimension, StarJoin};
pub use table::Table;
pub use tumble::Tumble;
pub use union_all::UnionAll;
pub use window_aggregate::WindowAggregate;

/// Index of a node in [`JobPlan::nodes`].
pub type NodeId = usize;

/// A whole job.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// Name of the job: names its state, its journal and its transactional id.
    pub name: String,
    /// What is read, in order of declaration. Only sources that reach a sink.
    pub sources: Vec<SourcePlan>,
    /// The dataflow, inputs before readers.
    pub nodes: Vec<Node>,
    /// What is written, in order of declaration.
    pub sinks: Vec<SinkPlan>,
}

/// Where a source begins, before it goes on with its own connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPlan {
    /// The connector's name.
    pub connector: String,
    /// Its options.
    pub options: Options,
}

/// A `CREATE SOURCE`.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Its name in SQL.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// What is read before, if something is.
    pub history: Option<HistoryPlan>,
    /// The format.
    pub format: FormatPlan,
    /// The columns that the job uses, in order of declaration, and where each comes from.
    pub columns: Vec<Column>,
    /// Whether the record's time travels along (`__time`), for deduplication and for tables without a version, and its bytes (`__bytes`), for
    /// the late ledger or the dead letters.
    pub kept: Kept,
    /// The watermark, if declared.
    pub watermark: Option<WatermarkPlan>,
    /// The registry of the schemas of its records, if one is named.
    pub registry: Option<RegistryPlan>,
    /// The same of their keys, if a column is read from these: the same registry, and another subject.
    pub key_registry: Option<RegistryPlan>,
    /// The connector's options, a profile's overrides applied.
    pub options: Options,
}

impl SourcePlan {
    /// What it reads, as dead letters and metrics name it: the topic, if it has one; or what several have in common.
    #[must_use]
    pub fn topic(&self) -> &str {
        let pattern = || self.options.get("topic.pattern");
        let topic = self.options.get("topic").or_else(pattern);
        topic.unwrap_or(&self.name)
    }

    /// Where the schemas of its records are: of their values, and of their keys, in one registry.
    pub fn registries(&self) -> impl Iterator<Item = &RegistryPlan> {
        self.registry.iter().chain(&self.key_registry)
    }

    /// What its decoder reads; `schemas` are those of its registry.
    #[must_use]
    pub fn spec<'a>(&'a self, schemas: Option<&'a Arc<dyn Schemas>>) -> SourceSpec<'a> {
        let of = |registry: &'a Option<RegistryPlan>| {
            let registry = registry.as_ref()?;
            Some(Contracts {
                pinned: registry.contract.as_ref(),
                schemas: schemas?,
            })
        };
        SourceSpec {
            topic: self.topic(),
            envelope: &self.format.envelope,
            columns: &self.columns,
            kept: self.kept,
            time_limit: self.watermark.as_ref().map(|watermark| TimeLimit {
                column: watermark.column.clone(),
                max_future_ms: watermark.max_future_ms,
            }),
            contracts: of(&self.registry),
            key_contracts: of(&self.key_registry),
            options: &self.format.options,
        }
    }
}

impl SinkPlan {
    /// Where the schemas of its records are told: of their values, and of their keys.
    pub fn registries(&self) -> impl Iterator<Item = &RegistryPlan> {
        self.registry.iter().chain(&self.key_registry)
    }

    /// Where the columns of its rows go.
    #[must_use]
    pub fn columns(&self, schema: &Schema) -> SinkColumns {
        let named = |name: &String| schema.field_with_name(name).ok().cloned();
        let is_of_value = |field: &&FieldRef| {
            !self.headers.contains(field.name()) && self.timestamp.as_ref() != Some(field.name())
        };
        let of_value = schema.fields().iter().filter(is_of_value);
        SinkColumns {
            values: Schema::new(of_value.cloned().collect::<Vec<_>>()),
            metadata: SinkMetadata {
                headers: self.headers.iter().filter_map(named).collect(),
                timestamp: self.timestamp.as_ref().and_then(named),
            },
        }
    }

    /// What its encoder writes, of rows with these columns.
    #[must_use]
    pub fn spec<'a>(&'a self, columns: &'a SinkColumns) -> SinkSpec<'a> {
        let SinkColumns { values, metadata } = columns;
        let has_metadata = *metadata != SinkMetadata::default();
        let contract = |registry: &'a Option<RegistryPlan>| registry.as_ref()?.contract.as_ref();
        SinkSpec {
            envelope: &self.format.envelope,
            schema: values,
            key: &self.key,
            metadata: has_metadata.then_some(metadata),
            contract: contract(&self.registry),
            key_contract: contract(&self.key_registry),
            options: &self.format.options,
        }
    }
}

/// The columns of a sink, by where they go.
#[derive(Debug, Clone)]
pub struct SinkColumns {
    /// Into the values.
    pub values: Schema,
    /// Beside them.
    pub metadata: SinkMetadata,
}

/// How the records of a source or a sink are read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatPlan {
    /// The format's name.
    pub name: String,
    /// The envelope's name.
    pub envelope: String,
    /// The options of format and envelope.
    pub options: Options,
}

/// Where the schemas of a topic's records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryPlan {
    /// Which registry, and how it is reached.
    pub options: Options,
    /// The subject.
    pub subject: String,
    /// Of a source: the version that the job was planned with, if the subject has one. Of a sink: what its schema was registered as, once it
    /// is.
    pub contract: Option<Contract>,
}

/// `WATERMARK FOR column AS column - INTERVAL delay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkPlan {
    /// The event-time column (a timestamp).
    pub column: String,
    /// How much later than the watermark's time an event may come, in milliseconds.
    pub delay_ms: i64,
    /// An event whose time is further ahead of its record's is a dead letter, in milliseconds (option `watermark.max-future`).
    pub max_future_ms: i64,
    /// A partition read to its end, and without anything to read for so long, no longer holds the watermark back, in milliseconds (option
    /// `watermark.idle-timeout`).
    pub idle_timeout_ms: i64,
    /// How long after the watermark has closed a window of rows that only append it takes late ones, in milliseconds (option
    /// `watermark.allowed-lateness`).
    pub lateness_ms: i64,
}

/// One operator of the dataflow.
#[derive(Debug, Clone)]
pub struct Node {
    /// A name that stays the same when unrelated parts of the job change, such as `payment/dedup`: names its state on disk. Unique.
    pub name: String,
    /// What it does.
    pub op: NodeOp,
    /// Its output columns.
    pub schema: SchemaRef,
    /// True if its output retracts (a table, a view over one); false if it only appends.
    pub retracts: bool,
}

/// What a node does: one of the stages, each of which says in a file of its own what it is.
#[derive(Debug, Clone)]
pub enum NodeOp {
    /// Reads and decodes.
    Source(Source),
    /// Lets each event pass once.
    Dedup(Dedup),
    /// Current state by primary key.
    Table(Table),
    /// Events of a key in order.
    Resequence(Resequence),
    /// The late ledger.
    Late(Late),
    /// The dead letters.
    DeadLetters(DeadLetters),
    /// Computes columns.
    Project(Project),
    /// Keeps some rows.
    Filter(Filter),
    /// Puts rows into windows.
    Tumble(Tumble),
    /// Joins two inputs.
    Join(Join),
    /// Joins one input with several.
    StarJoin(StarJoin),
    /// Aggregates groups.
    Aggregate(Aggregate),
    /// Aggregates the groups of a window.
    WindowAggregate(WindowAggregate),
    /// The set of rows.
    Distinct(Distinct),
    /// The sum of the inputs.
    UnionAll(UnionAll),
    /// A durable image of a stream.
    Image(Image),
}

/// The stage of an operation, borrowed as that is.
macro_rules! stage_of {
    ($op:expr) => {
        match $op {
            NodeOp::Source(stage) => stage,
            NodeOp::Dedup(stage) => stage,
            NodeOp::Table(stage) => stage,
            NodeOp::Resequence(stage) => stage,
            NodeOp::Late(stage) => stage,
            NodeOp::DeadLetters(stage) => stage,
            NodeOp::Project(stage) => stage,
            NodeOp::Filter(stage) => stage,
            NodeOp::Tumble(stage) => stage,
            NodeOp::Join(stage) => stage,
            NodeOp::StarJoin(stage) => stage,
            NodeOp::Aggregate(stage) => stage,
            NodeOp::WindowAggregate(stage) => stage,
            NodeOp::Distinct(stage) => stage,
            NodeOp::UnionAll(stage) => stage,
            NodeOp::Image(stage) => stage,
        }
    };
}

impl NodeOp {
    /// The stage.
    #[must_use]
    pub fn stage(&self) -> &dyn Stage {
        stage_of!(self)
    }

    /// The stage, to be changed.
    pub fn stage_mut(&mut self) -> &mut dyn Stage {
        stage_of!(self)
    }

    /// The nodes that it reads, left before right.
    #[must_use]
    pub fn inputs(&self) -> Vec<NodeId> {
        self.stage().inputs()
    }
}

/// A `CREATE SINK`.
#[derive(Debug, Clone)]
pub struct SinkPlan {
    /// Its name in SQL.
    pub name: String,
    /// What it writes.
    pub input: NodeId,
    /// The connector's name.
    pub connector: String,
    /// The name of the topic, table or index that it writes to; its own where that has none.
    pub target: String,
    /// True if what is committed is brought there afterwards, by its connector's delivery.
    pub is_delivered: bool,
    /// The format.
    pub format: FormatPlan,
    /// Key columns; empty for a sink of rows without a key.
    pub key: Vec<String>,
    /// Columns that are headers of its records, and no members of their values.
    pub headers: Vec<String>,
    /// The column that is the time of its records, and no member of their values; without one, they are of the time of writing.
    pub timestamp: Option<String>,
    /// What its records are.
    pub contents: Contents,
    /// True if its records follow the rows of a key and rows of its input may have one key, or no proof was found that they have not: then the sink keeps the rows.
    pub shares_keys: bool,
    /// The registry that its schema is told to, if one is named.
    pub registry: Option<RegistryPlan>,
    /// The same of its keys.
    pub key_registry: Option<RegistryPlan>,
    /// The connector's options, a profile's overrides applied.
    pub options: Options,
}
