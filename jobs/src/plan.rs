//! The job plan: what a SQL job lowers to, as data. The engine renders it; nothing here executes.
//!
//! Promises: every node's output schema has unique column names, every expression refers to its input's columns by those names without
//! a qualifier, inputs have smaller ids than the nodes that read them, and the text form ([`std::fmt::Display`]) is stable: the same SQL
//! gives the same text, and the plan's identity is a hash of that text.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use datafusion_expr::Expr;
pub use tidemill_types::format::{Column, ColumnOrigin, Contents};
use tidemill_types::format::{Contract, Contracts, Schemas, SinkSpec, SourceSpec, TimeLimit};
use tidemill_types::options::Options;
use tidemill_types::system_columns::Kept;

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

/// A `CREATE SOURCE`.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    /// Its name in SQL.
    pub name: String,
    /// The connector's name.
    pub connector: String,
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
    /// The connector's options, a profile's overrides applied.
    pub options: Options,
}

impl SourcePlan {
    /// The name that dead letters and metrics carry: the topic's, if it has one.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.options.get("topic").unwrap_or(&self.name)
    }

    /// What its decoder reads; `schemas` are those of its registry.
    #[must_use]
    pub fn spec<'a>(&'a self, schemas: Option<&'a Arc<dyn Schemas>>) -> SourceSpec<'a> {
        SourceSpec {
            topic: self.topic(),
            envelope: &self.format.envelope,
            columns: &self.columns,
            kept: self.kept,
            time_limit: self.watermark.as_ref().map(|watermark| TimeLimit {
                column: watermark.column.clone(),
                max_future_ms: watermark.max_future_ms,
            }),
            contracts: schemas.map(|schemas| Contracts {
                pinned: self.registry.as_ref().and_then(|of| of.contract.as_ref()),
                schemas,
            }),
            options: &self.format.options,
        }
    }
}

impl SinkPlan {
    /// The name that metrics carry: the topic's, if it has one.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.options.get("topic").unwrap_or(&self.name)
    }

    /// What its encoder writes, of rows with this schema.
    #[must_use]
    pub fn spec<'a>(&'a self, schema: &'a Schema) -> SinkSpec<'a> {
        SinkSpec {
            envelope: &self.format.envelope,
            schema,
            key: &self.key,
            schema_id: self.registry.as_ref().and_then(RegistryPlan::schema_id),
            options: &self.format.options,
        }
    }
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

impl RegistryPlan {
    /// The number that stands in front of each record.
    #[must_use]
    pub fn schema_id(&self) -> Option<u32> {
        self.contract.as_ref().map(|contract| contract.id)
    }
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

/// What a node does.
#[derive(Debug, Clone)]
pub enum NodeOp {
    /// Reads and decodes. Output: the source's columns, then the system columns.
    Source {
        /// Index in [`JobPlan::sources`].
        source: usize,
    },
    /// Lets the first event with a `uuid` pass; others whose records were written within `within_ms` of it are counted and dropped.
    Dedup {
        /// Input.
        input: NodeId,
        /// Column that identifies an event.
        uuid: String,
        /// How long a uuid is remembered.
        within_ms: i64,
    },
    /// Current state by primary key, from a stream with system columns. Output: the source's columns, without the system columns.
    Table {
        /// Input.
        input: NodeId,
        /// Primary key.
        key: Vec<String>,
        /// The highest version wins; a tie goes to the later source position. Without: the later position wins.
        version: Option<String>,
        /// How long a tombstone guards against older updates, by the records' times.
        tombstone_ms: i64,
        /// Those of the key and version columns that an event may lack. One without its key, and a delete without its version, is a dead
        /// letter: a row could be neither found nor put in order by it.
        may_lack: Vec<String>,
    },
    /// Emits a key's events in order of `by`, once the watermark has passed them; what comes later goes to the late ledger.
    /// Output: as its input (system columns included), without `__bytes`.
    Resequence {
        /// Input.
        input: NodeId,
        /// Event-time column that orders.
        by: String,
        /// Key.
        per: Vec<String>,
        /// How long to wait at most: emitted when the highest time seen (per source, minimum over its partitions) is this much later.
        within_ms: i64,
        /// Index of the source whose watermark is waited for.
        source: usize,
    },
    /// What the named resequencers could not put in order any more. Output: [`ledger_schema`].
    Late {
        /// The resequencers.
        inputs: Vec<NodeId>,
    },
    /// Every undecodable record of the job's sources. Output: [`ledger_schema`].
    DeadLetters,
    /// Stateless: computes columns.
    Project {
        /// Input.
        input: NodeId,
        /// Expression and output name of each column.
        columns: Vec<(Expr, String)>,
    },
    /// Stateless: keeps the rows for which the predicate is true.
    Filter {
        /// Input.
        input: NodeId,
        /// Predicate.
        predicate: Expr,
    },
    /// Stateless: appends `window_start` and `window_end` (timestamps) of the tumbling window that `time` falls in; a row without time is dropped
    /// and counted.
    Tumble {
        /// Input.
        input: NodeId,
        /// Event-time column.
        time: String,
        /// Window size in milliseconds; windows are aligned to the epoch of Unix, UTC.
        size_ms: i64,
    },
    /// Equi-join. Output: the left columns, then the right ones.
    Join {
        /// Left input.
        left: NodeId,
        /// Right input.
        right: NodeId,
        /// Kind.
        kind: JoinKind,
        /// Equal columns; null equals nothing.
        on: Vec<(String, String)>,
    },
    /// Inner and left equi-joins of one fact with dimensions, each on columns of the fact: what a chain of joins gives, without keeping what lies
    /// between them. Output: the fact's columns, then those of the dimensions, in order.
    StarJoin {
        /// What the dimensions are joined to.
        fact: NodeId,
        /// Columns that no two rows of the fact have alike; needed, and so not empty, if dimensions are joined on different columns.
        unique: Vec<String>,
        /// What is joined; two or more.
        dimensions: Vec<Dimension>,
    },
    /// `GROUP BY`. Output: the group columns, then the aggregates. Without group columns: one row, always.
    Aggregate {
        /// Input.
        input: NodeId,
        /// Group columns.
        group: Vec<String>,
        /// Aggregates.
        aggregates: Vec<Aggregate>,
    },
    /// As `Aggregate`, over a window: a group is first emitted when the watermark passes its `window_end` column, and corrected after.
    WindowAggregate {
        /// Input.
        input: NodeId,
        /// Group columns, `window_end` among them.
        group: Vec<String>,
        /// Aggregates; only those that can be retracted: sum of exact numbers, count, avg of exact numbers.
        aggregates: Vec<Aggregate>,
        /// Which group column holds the end of the window.
        window_end: String,
        /// Index of the source whose watermark closes windows.
        source: usize,
    },
    /// The set of rows.
    Distinct {
        /// Input.
        input: NodeId,
    },
    /// The sum of the inputs; same schema each.
    UnionAll {
        /// Inputs.
        inputs: Vec<NodeId>,
    },
    /// A durable image of an append-only stream, in front of a join, an aggregate or a distinct. Output: as its input.
    Image {
        /// Input.
        input: NodeId,
    },
}

impl NodeOp {
    /// The nodes that it reads, left before right.
    #[must_use]
    pub fn inputs(&self) -> Vec<NodeId> {
        match self {
            Self::Source { .. } | Self::DeadLetters => Vec::new(),
            Self::Late { inputs } | Self::UnionAll { inputs } => inputs.clone(),
            Self::Join { left, right, .. } => vec![*left, *right],
            Self::StarJoin {
                fact, dimensions, ..
            } => std::iter::once(*fact)
                .chain(dimensions.iter().map(|dimension| dimension.input))
                .collect(),
            Self::Dedup { input, .. }
            | Self::Table { input, .. }
            | Self::Resequence { input, .. }
            | Self::Project { input, .. }
            | Self::Filter { input, .. }
            | Self::Tumble { input, .. }
            | Self::Aggregate { input, .. }
            | Self::WindowAggregate { input, .. }
            | Self::Distinct { input }
            | Self::Image { input } => vec![*input],
        }
    }
}

/// One of the sides that a fact is joined with.
#[derive(Debug, Clone)]
pub struct Dimension {
    /// What is joined.
    pub input: NodeId,
    /// True if the fact's rows without a match are kept (a left join).
    pub optional: bool,
    /// Equal columns, the fact's first; null equals nothing.
    pub on: Vec<(String, String)>,
}

/// Kinds of equi-join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Matching pairs.
    Inner,
    /// And left rows without a match.
    Left,
    /// And right rows without a match.
    Right,
    /// Both.
    Full,
}

/// One aggregate.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What is computed.
    pub function: AggregateFunction,
    /// Its argument column; `None` is `COUNT(*)`.
    pub argument: Option<String>,
    /// `DISTINCT` inside the aggregate.
    pub distinct: bool,
    /// Output column.
    pub name: String,
    /// Output type.
    pub data_type: DataType,
}

/// The aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateFunction {
    /// Sum; null over no non-null value.
    Sum,
    /// Count of rows or of non-null values.
    Count,
    /// Average, rounded as DataFusion does; null over no non-null value.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
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
    /// The format.
    pub format: FormatPlan,
    /// Key columns; empty for a sink of rows without a key.
    pub key: Vec<String>,
    /// What its records are.
    pub contents: Contents,
    /// True if its records follow the rows of a key and rows of its input may have one key, or no proof was found that they have not: then the sink keeps the rows.
    pub shares_keys: bool,
    /// The registry that its schema is told to, if one is named.
    pub registry: Option<RegistryPlan>,
    /// The connector's options, a profile's overrides applied.
    pub options: Options,
}
