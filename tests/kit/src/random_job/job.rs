//! A job as a tree: what the SQL is written from, and what the oracle interprets.
//!
//! A job is a list of relations, each an operator over relations before it. Columns are meant by their place in a
//! relation; their SQL names are unique in it.

use crate::value::{Type, Value};

/// A whole job.
#[derive(Debug, Clone)]
pub struct Job {
    /// What it was drawn from.
    pub seed: u64,
    /// What it reads.
    pub sources: Vec<Source>,
    /// Its relations; inputs stand before their readers.
    pub relations: Vec<Relation>,
    /// What it writes.
    pub sinks: Vec<Sink>,
}

/// A `CREATE SOURCE`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// What its records say of a change.
    pub envelope: Envelope,
    /// How its records' bytes are values.
    pub encoding: Encoding,
    /// The entity that its events must carry, where the envelope has one.
    pub entity: String,
    /// How many partitions its topic has.
    pub partitions: u32,
    /// Its columns.
    pub columns: Vec<SourceColumn>,
    /// Its watermark.
    pub watermark: Option<Watermark>,
    /// True if all events of a key are in one partition.
    pub keys_stay: bool,
    /// True if it begins with a history, in a topic of its own.
    pub has_history: bool,
}

/// Begins the name of the topic of a history.
pub const HISTORY: &str = "past-";

/// How bytes are values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// JSON.
    Json,
    /// Lines of fields.
    Csv,
    /// Avro without framing.
    Avro,
    /// Protobuf without framing.
    Protobuf,
    /// The text of one value.
    Raw,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Json, Self::Csv, Self::Avro, Self::Protobuf, Self::Raw];

    /// True if its values can have others in them.
    #[must_use]
    pub const fn is_nested(self) -> bool {
        matches!(self, Self::Json | Self::Avro)
    }

    /// What can be written in it.
    #[must_use]
    pub const fn written(self) -> &'static [Written] {
        match self {
            Self::Json | Self::Avro => &[Written::Plain, Written::Upsert, Written::Debezium],
            Self::Csv | Self::Protobuf | Self::Raw => &[Written::Plain, Written::Upsert],
        }
    }
}

/// What a sink's records say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// Rows.
    Plain,
    /// What a key has, or that it has nothing.
    Upsert,
    /// What a row was and is.
    Debezium,
}

/// What records say of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Envelope {
    /// The studio's events.
    Crud,
    /// Changes of a database.
    Debezium,
    /// States by the record's key.
    Upsert,
    /// Rows.
    Plain,
    /// Events of the CNCF's specification, all in the value or with their attributes in headers.
    CloudEvents,
}

impl Envelope {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Crud,
        Self::Debezium,
        Self::Upsert,
        Self::Plain,
        Self::CloudEvents,
    ];

    /// The encodings that it can be read in.
    #[must_use]
    pub const fn encodings(self) -> &'static [Encoding] {
        match self {
            Self::Crud | Self::Debezium => &[Encoding::Json, Encoding::Avro, Encoding::Protobuf],
            Self::Upsert | Self::Plain => &Encoding::ALL,
            Self::CloudEvents => &[Encoding::Json],
        }
    }

    /// True if every event has what comes from there, unless it is declared to be missing: also a delete.
    #[must_use]
    pub fn is_always_there(self, origin: Origin) -> bool {
        match self {
            Self::Crud => origin != Origin::Data,
            Self::Debezium => origin == Origin::Ts,
            Self::Upsert => origin == Origin::Id,
            Self::Plain | Self::CloudEvents => true,
        }
    }
}

/// A column of a source.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// False if declared `NOT NULL`.
    pub nullable: bool,
    /// Where it comes from.
    pub origin: Origin,
}

impl Source {
    /// True if a column is read from the records' keys.
    #[must_use]
    pub fn is_of_key(&self, column: &SourceColumn) -> bool {
        match column.origin {
            Origin::Key => true,
            Origin::Id => self.envelope == Envelope::Upsert,
            _ => false,
        }
    }
}

/// Where a source's column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The member of `data` with its name.
    Data,
    /// What identifies the entity: the envelope's `id`, or the member or the key of that name.
    Id,
    /// When it happened: the envelope's, or the member of that name.
    Ts,
    /// What identifies the event: the envelope's, or the member of that name.
    Uuid,
    /// The record's header of its name.
    Header,
    /// The member of its name of the record's key.
    Key,
    /// When the record was written.
    Written,
}

/// `WATERMARK FOR column AS column - delay`.
#[derive(Debug, Clone, Copy)]
pub struct Watermark {
    /// Which column of the source.
    pub column: usize,
    /// The delay in milliseconds.
    pub delay_ms: i64,
    /// A record whose time is so much later than when it was written is a dead letter, in milliseconds.
    pub max_future_ms: i64,
    /// How long after its end a window of rows that only come takes more of them, in milliseconds.
    pub allowed_lateness_ms: i64,
}

/// Rows with a name.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// How it comes about.
    pub op: Op,
    /// Columns that no two rows have alike; empty if there is at most one row.
    pub key: Option<Vec<usize>>,
    /// True if a row may have nothing but NULL in its key.
    pub key_may_be_null: bool,
    /// True if rows go or change, false if they only come.
    pub retracts: bool,
    /// True if what it has can be had again after a restart, so that it can be upserted.
    pub durable: bool,
    /// True if it has every event of a stream, so that it must not be joined with another such.
    pub grows: bool,
    /// True if a row of it, or of what it reads, may fail to be computed. It has one reader: two would each be told of
    /// what fails.
    pub fails: bool,
    /// True if an outer join took the windows from it: a filter could make an inner join of that, and give them back.
    pub lost_windows: bool,
    /// Columns that every reader has to use, so that what fails is computed at all.
    pub needed: Vec<usize>,
    /// About how many rows it has at most.
    pub rows_max: usize,
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: Type,
    /// True if it may be NULL.
    pub nullable: bool,
    /// The end of a window that it holds.
    pub bound: Option<Bound>,
}

/// What is known of a column that holds an end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// True for the end, false for the start.
    pub is_end: bool,
    /// The window's size in milliseconds.
    pub size_ms: i64,
    /// The source whose watermark closes it.
    pub source: usize,
}

/// How a relation comes about. Numbers of relations are places in [`Job::relations`], those of columns places in the
/// relation that is read.
#[derive(Debug, Clone)]
pub enum Op {
    /// `CREATE TABLE … (PRIMARY KEY (id))`.
    Table {
        /// What it is made of.
        source: usize,
        /// `DEDUPLICATE BY uuid`.
        dedup: bool,
        /// `VERSION BY ts`.
        version: bool,
    },
    /// `CREATE STREAM`: the source's columns, then `change_type`.
    Stream {
        /// What it is made of.
        source: usize,
        /// `DEDUPLICATE BY uuid`.
        dedup: bool,
        /// `RESEQUENCE BY` the watermark's column `PER id WITHIN` so many milliseconds.
        resequence_ms: Option<i64>,
    },
    /// `tidemill_dead_letters`: origin, partition, offset, stage, key, bytes. A row that could not be computed has the origin `row`.
    DeadLetters {
        /// False if only records are read.
        rows: bool,
    },
    /// `tidemill_late`.
    Late,
    /// The columns of a table or stream, then the start and the end of the window that the watermark's column falls in.
    Tumble {
        /// A table or stream.
        input: usize,
        /// Its time column.
        time: usize,
        /// The window's size.
        size_ms: i64,
    },
    /// `SELECT expressions`.
    Project {
        /// What is read.
        input: usize,
        /// A column each.
        columns: Vec<Expr>,
    },
    /// `WHERE predicate`.
    Filter {
        /// What is read.
        input: usize,
        /// What must be true.
        predicate: Expr,
    },
    /// `GROUP BY`: the group columns, then the aggregates.
    Aggregate {
        /// What is read.
        input: usize,
        /// Group columns.
        group: Vec<usize>,
        /// Aggregates.
        aggregates: Vec<Aggregate>,
        /// Which of the group columns says when the group is closed, if it is over a window.
        window: Option<usize>,
    },
    /// Joins of one relation with others, each on columns of the first.
    Join {
        /// What is joined.
        first: usize,
        /// What it is joined with; of any kind if it is one, else inner and left.
        steps: Vec<Step>,
        /// The columns: of the first (0) or a step (1, …), and which.
        select: Vec<(usize, usize)>,
    },
    /// `SELECT DISTINCT`.
    Distinct {
        /// What is read.
        input: usize,
    },
    /// `UNION` or `UNION ALL`.
    Union {
        /// What is read, and which columns.
        inputs: Vec<(usize, Vec<usize>)>,
        /// True for `UNION`.
        distinct: bool,
    },
}

/// One join.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is joined.
    pub input: usize,
    /// Kind.
    pub kind: JoinKind,
    /// Equal columns, the first relation's before this one's.
    pub on: Vec<(usize, usize)>,
}

/// Kinds of joins.
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

/// An aggregate.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What is computed.
    pub function: Function,
    /// Of which column; none counts rows.
    pub argument: Option<usize>,
    /// Of each value once.
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expr>,
}

/// Aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Sum.
    Sum,
    /// Number.
    Count,
    /// Average.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
}

/// An expression over the columns of a relation.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A column.
    Column(usize),
    /// A value; decimals are written with their scale.
    Literal(Value),
    /// A calculation; of two decimals only a sum or a difference, of one scale.
    Calculate(Box<Expr>, Calculation, Box<Expr>),
    /// A comparison.
    Compare(Box<Expr>, Comparison, Box<Expr>),
    /// Both.
    And(Box<Expr>, Box<Expr>),
    /// One of them.
    Or(Box<Expr>, Box<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// `IS NULL`
    IsNull(Box<Expr>),
    /// `CASE WHEN … THEN … ELSE … END`
    Case(Box<Expr>, Box<Expr>, Box<Expr>),
    /// The first that is not NULL.
    Coalesce(Box<Expr>, Box<Expr>),
    /// `||`
    Concat(Box<Expr>, Box<Expr>),
    /// `CAST`, of an integer as text, a text as an integer (it may fail), or a time as a date.
    Cast(Box<Expr>, Type),
}

/// Calculations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calculation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, of integers; it fails by zero.
    Divide,
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `>=`
    AtLeast,
}

/// A `CREATE SINK`.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// What it writes, all columns.
    pub input: usize,
    /// Key columns.
    pub key: Vec<usize>,
    /// Columns that are headers.
    pub headers: Vec<usize>,
    /// The column that is the time of records.
    pub timestamp: Option<usize>,
    /// Upserts, or appends.
    pub upsert: bool,
    /// What its records say.
    pub written: Written,
    /// How its records' bytes are values.
    pub encoding: Encoding,
    /// What is committed is brought there afterwards, where that can be.
    pub is_delivered: bool,
}

impl Sink {
    /// True if a column is a member of the values.
    #[must_use]
    pub fn is_of_value(&self, column: usize) -> bool {
        let is_elsewhere = self.encoding == Encoding::Raw && self.key.contains(&column);
        !is_elsewhere && !self.headers.contains(&column) && self.timestamp != Some(column)
    }
}

impl Job {
    /// A source's column by its name.
    ///
    /// # Panics
    /// If the source has none; all have `id`, `ts` and `uuid`, wherever they come from.
    #[must_use]
    pub fn column_named(&self, source: usize, name: &str) -> usize {
        let columns = &self.sources[source].columns;
        let found = columns.iter().position(|column| column.name == name);
        found.expect("every source has the columns that identify an event")
    }
}

impl Op {
    /// The relations that it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<usize> {
        match self {
            Self::Table { .. } | Self::Stream { .. } | Self::DeadLetters { .. } | Self::Late => {
                Vec::new()
            }
            Self::Tumble { input, .. }
            | Self::Project { input, .. }
            | Self::Filter { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Distinct { input } => vec![*input],
            Self::Join { first, steps, .. } => std::iter::once(*first)
                .chain(steps.iter().map(|step| step.input))
                .collect(),
            Self::Union { inputs, .. } => inputs.iter().map(|(input, _)| *input).collect(),
        }
    }
}

impl Expr {
    /// True if computing it may fail.
    #[must_use]
    pub fn may_fail(&self) -> bool {
        match self {
            Self::Column(_) | Self::Literal(_) => false,
            Self::Calculate(_, Calculation::Divide, _) | Self::Cast(_, Type::Int) => true,
            Self::Calculate(a, _, b)
            | Self::Compare(a, _, b)
            | Self::And(a, b)
            | Self::Or(a, b)
            | Self::Coalesce(a, b)
            | Self::Concat(a, b) => a.may_fail() || b.may_fail(),
            Self::Not(a) | Self::IsNull(a) | Self::Cast(a, _) => a.may_fail(),
            Self::Case(a, b, c) => a.may_fail() || b.may_fail() || c.may_fail(),
        }
    }
}
