//! What a job declares, checked against each other: names resolved, types and options valid. Queries stand here as logical plans (views)
//! or as text (sinks).

mod sink;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_expr::LogicalPlan;
use tidemill_types::format::Envelope;

use crate::context::Context;
use crate::contract::{self, PartFormats};
use crate::dialect::{
    DeduplicateClause, Name, SinkStatement, SourceStatement, StreamStatement, TableStatement,
    WatermarkStatement,
};
use crate::error::Error;
use crate::event;
use crate::keys;
use crate::options::Options;
use crate::plan::{Column, FormatPlan, HistoryPlan, RegistryPlan, WatermarkPlan};
use crate::with::{Direction, With};
pub use sink::Sink;

/// The change that an event of a stream is: `create`, `update` or `delete`.
pub const CHANGE_TYPE: &str = "change_type";
/// Name of the virtual table of undecodable records.
pub const DEAD_LETTERS: &str = "tidemill_dead_letters";
/// Name of the virtual table of events that came too late to be resequenced.
pub const LATE: &str = "tidemill_late";

const DAY_MS: i64 = 86_400_000;
const IDLE_TIMEOUT_MS: i64 = 30_000;
const LATENESS_MS: i64 = 3_600_000;
/// How far clocks that are looked after may differ: five minutes, as in Kerberos (RFC 4120).
const MAX_FUTURE_MS: i64 = 300_000;
const MAX_FUTURE: &str = "watermark.max-future";
const IDLE_TIMEOUT: &str = "watermark.idle-timeout";
const LATENESS: &str = "watermark.allowed-lateness";
/// The options of a source that are the planner's own.
const SOURCE_OPTIONS: [&str; 4] = ["key", MAX_FUTURE, IDLE_TIMEOUT, LATENESS];

/// The type of `TIMESTAMP`.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// A `CREATE SOURCE`, checked.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: Name,
    /// The connector's name.
    pub connector: String,
    /// What is read before.
    pub history: Option<HistoryPlan>,
    /// The format.
    pub format: FormatPlan,
    /// What it is told of the envelope.
    pub envelope: &'static Envelope,
    /// All declared columns.
    pub columns: Vec<Column>,
    /// The watermark.
    pub watermark: Option<WatermarkPlan>,
    /// The registry of its schemas.
    pub registry: Option<RegistryPlan>,
    /// The registry of its keys' schemas.
    pub key_registry: Option<RegistryPlan>,
    /// The connector's options.
    pub options: Options,
}

/// A deduplication; equal ones of one source are one stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deduplication {
    /// The column that identifies an event.
    pub by: String,
    /// How long it is remembered.
    pub within_ms: i64,
}

/// A `CREATE TABLE`, checked.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// Index of its source.
    pub source: usize,
    /// The deduplication.
    pub deduplication: Option<Deduplication>,
    /// The primary key.
    pub key: Vec<String>,
    /// The version column.
    pub version: Option<String>,
    /// How long a tombstone guards.
    pub tombstone_ms: i64,
}

/// A resequencing.
#[derive(Debug, Clone)]
pub struct Resequencing {
    /// The event-time column.
    pub by: String,
    /// The key.
    pub per: Vec<String>,
    /// How long to wait at most.
    pub within_ms: i64,
}

/// A `CREATE STREAM`, checked.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name.
    pub name: Name,
    /// Index of its source.
    pub source: usize,
    /// The deduplication.
    pub deduplication: Option<Deduplication>,
    /// The resequencing.
    pub resequencing: Option<Resequencing>,
}

/// What a name stands for; the numbers are indices in the [`Catalog`].
#[derive(Debug, Clone)]
pub enum Object {
    /// A source.
    Source(usize),
    /// A table.
    Table(usize),
    /// A stream.
    Stream(usize),
    /// A view.
    View(Arc<LogicalPlan>),
    /// A sink.
    Sink,
    /// Undecodable records.
    DeadLetters,
    /// The late ledger.
    Late,
}

/// All that a job declares.
#[derive(Debug)]
pub struct Catalog {
    /// The sources, in order of declaration.
    pub sources: Vec<Source>,
    /// The tables.
    pub tables: Vec<Table>,
    /// The streams.
    pub streams: Vec<Stream>,
    /// The sinks.
    pub sinks: Vec<Sink>,
    objects: BTreeMap<String, Object>,
}

impl Default for Catalog {
    fn default() -> Self {
        let virtual_tables = [(DEAD_LETTERS, Object::DeadLetters), (LATE, Object::Late)];
        Self {
            sources: Vec::new(),
            tables: Vec::new(),
            streams: Vec::new(),
            sinks: Vec::new(),
            objects: virtual_tables
                .map(|(name, object)| (name.to_owned(), object))
                .into(),
        }
    }
}

impl Catalog {
    /// What a name stands for.
    pub fn object(&self, name: &str) -> Option<&Object> {
        self.objects.get(name)
    }

    /// The names that a query can read.
    pub fn readable(&self) -> impl Iterator<Item = &str> {
        let readable = |object: &Object| !matches!(object, Object::Source(_) | Object::Sink);
        self.objects
            .iter()
            .filter(move |(_, object)| readable(object))
            .map(|(name, _)| name.as_str())
    }

    /// Declares a source.
    pub fn add_source(
        &mut self,
        statement: SourceStatement,
        context: Context<'_>,
    ) -> Result<(), Error> {
        let source = source(statement, context)?;
        self.declare(&source.name, Object::Source(self.sources.len()))?;
        self.sources.push(source);
        Ok(())
    }

    /// Declares a table.
    pub fn add_table(&mut self, statement: TableStatement) -> Result<(), Error> {
        let source = self.source_index(&statement.from)?;
        let columns = &self.sources[source].columns;
        let deduplication = deduplication(statement.deduplicate.as_ref(), columns)?;
        for key in &statement.key {
            key_column("PRIMARY KEY", columns, key)?;
        }
        refuse_twice(&statement.key)?;
        if let Some(version) = &statement.version {
            event::check_version(column(columns, version)?, version.at)?;
        }
        let table = Table {
            name: statement.name,
            source,
            deduplication,
            key: statement.key.into_iter().map(|name| name.text).collect(),
            version: statement.version.map(|name| name.text),
            tombstone_ms: statement.tombstone_ms.unwrap_or(DAY_MS),
        };
        self.declare(&table.name, Object::Table(self.tables.len()))?;
        self.tables.push(table);
        Ok(())
    }

    /// Those of a table's key and version columns that an event may lack.
    pub fn may_lack(&self, table: &Table) -> Vec<String> {
        let of_table = table.key.iter().chain(&table.version);
        let source = &self.sources[table.source];
        event::may_lack(&source.columns, source.envelope, of_table)
    }

    /// Declares a stream.
    pub fn add_stream(&mut self, statement: StreamStatement) -> Result<(), Error> {
        let index = self.source_index(&statement.from)?;
        let source = &self.sources[index];
        if let Some(taken) = source
            .columns
            .iter()
            .find(|column| column.name == CHANGE_TYPE)
        {
            let message = format!(
                "a stream has a column '{CHANGE_TYPE}' of its own; rename '{}' of source '{}'",
                taken.name, source.name.text
            );
            return Err(Error::contradiction(statement.from.at, message));
        }
        let deduplication = deduplication(statement.deduplicate.as_ref(), &source.columns)?;
        let resequencing = match statement.resequence {
            None => None,
            Some(clause) => {
                column(&source.columns, &clause.by)?;
                for key in &clause.per {
                    key_column("RESEQUENCE PER", &source.columns, key)?;
                }
                refuse_twice(&clause.per)?;
                self.require_watermark(index, &clause.by, "RESEQUENCE BY")?;
                let per = clause.per.into_iter().map(|name| name.text).collect();
                Some(Resequencing {
                    by: clause.by.text,
                    per,
                    within_ms: clause.within_ms,
                })
            }
        };
        self.declare(&statement.name, Object::Stream(self.streams.len()))?;
        self.streams.push(Stream {
            name: statement.name,
            source: index,
            deduplication,
            resequencing,
        });
        Ok(())
    }

    /// Declares a view.
    pub fn add_view(&mut self, name: &Name, plan: LogicalPlan) -> Result<(), Error> {
        self.declare(name, Object::View(Arc::new(plan)))
    }

    /// Declares a sink.
    pub fn add_sink(
        &mut self,
        statement: SinkStatement,
        context: Context<'_>,
    ) -> Result<(), Error> {
        let sink = Sink::new(statement, context)?;
        self.declare(&sink.name, Object::Sink)?;
        self.refuse_second_writer(&sink)?;
        self.sinks.push(sink);
        Ok(())
    }

    fn refuse_second_writer(&self, sink: &Sink) -> Result<(), Error> {
        let Some(name) = sink.target_name() else {
            return Ok(());
        };
        let mut sinks = self.sinks.iter();
        let Some(other) = sinks.find(|other| other.target == sink.target) else {
            return Ok(());
        };
        let message = format!(
            "sinks '{}' and '{}' write to one place, '{name}'; give each its own, or UNION ALL their queries in one",
            other.name.text, sink.name.text
        );
        Err(Error::contradiction(sink.name.at, message))
    }

    /// Fails unless the source's watermark is on this column.
    pub fn require_watermark(&self, source: usize, time: &Name, what: &str) -> Result<(), Error> {
        let source = &self.sources[source];
        let message = match &source.watermark {
            Some(watermark) if watermark.column == time.text => return Ok(()),
            Some(watermark) => format!(
                "{what} '{}' needs a watermark on that column, but source '{}' has its on '{}'",
                time.text, source.name.text, watermark.column
            ),
            None => format!(
                "{what} '{0}' needs a watermark; add to source '{1}': WATERMARK FOR {0} AS {0} - INTERVAL '5' SECOND",
                time.text, source.name.text
            ),
        };
        Err(Error::contradiction(time.at, message))
    }

    fn declare(&mut self, name: &Name, object: Object) -> Result<(), Error> {
        if name.text.starts_with("tidemill_") {
            return Err(Error::contradiction(
                name.at,
                "names that begin with 'tidemill_' are taken; choose another",
            ));
        }
        if self.objects.contains_key(&name.text) {
            return Err(Error::contradiction(
                name.at,
                format!("'{}' is declared twice", name.text),
            ));
        }
        self.objects.insert(name.text.clone(), object);
        Ok(())
    }

    fn source_index(&self, name: &Name) -> Result<usize, Error> {
        match self.objects.get(&name.text) {
            Some(Object::Source(index)) => Ok(*index),
            Some(_) => Err(Error::contradiction(
                name.at,
                format!("'{}' is not a source", name.text),
            )),
            None => {
                let known = self.sources.iter().map(|source| source.name.text.as_str());
                Err(Error::unknown(name.at, "source", &name.text, known))
            }
        }
    }
}

/// The columns of a table made of a source: only its state, never a delete's gaps.
pub fn table_schema(columns: &[Column]) -> SchemaRef {
    let field =
        |column: &Column| Field::new(&column.name, column.data_type.clone(), column.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The declared columns of a source's events. A delete may carry no state, so `NOT NULL` holds only for what every event has.
pub fn event_fields(columns: &[Column], envelope: &Envelope) -> Vec<Field> {
    let always = |column: &Column| !column.nullable && envelope.is_in_every_event(column);
    columns
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone(), !always(column)))
        .collect()
}

/// The columns of a stream made of a source.
pub fn stream_schema(columns: &[Column], envelope: &Envelope) -> SchemaRef {
    let mut fields = event_fields(columns, envelope);
    fields.push(Field::new(CHANGE_TYPE, DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

fn source(statement: SourceStatement, context: Context<'_>) -> Result<Source, Error> {
    let name = statement.name;
    let with = With::new(Direction::Source, &name, &statement.options, context)?;
    let connector = with.connector()?;
    let (format, envelope) = with.format(connector, context.formats)?;
    let formats = PartFormats {
        value: format,
        key: with.key_format(context.formats),
    };
    let own = [&SOURCE_OPTIONS[..], &contract::SOURCE_OPTIONS].concat();
    let split = with.split(connector, formats, envelope, &own)?;
    let key = with.list("key");
    if key.is_empty() && envelope.needs_key {
        let message = format!(
            "envelope '{}' deletes by the record's key; say which columns that has: key = 'column, …'",
            envelope.name
        );
        return Err(Error::contradiction(with.place("envelope"), message));
    }
    let columns = statement.columns.into_iter();
    let columns = columns.map(|column| event::source_column(column, envelope, &key));
    let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
    let registries = contract::of_source(&with, &split.registry, formats, context.contracts)?;
    let of_both = (formats, envelope, &split.format);
    contract::add_columns(&mut columns, &registries, of_both, &with, context.contracts)?;
    if columns.is_empty() {
        return Err(Error::contradiction(
            name.at,
            format!(
                "source '{}' has no column; declare some, or name a registry that has its contract: schema.registry.url = '…'",
                name.text
            ),
        ));
    }
    let named = |key: &&String| columns.iter().any(|column| column.name == **key);
    if let Some(missing) = key.iter().find(|key| !named(key)) {
        let known = columns.iter().map(|column| column.name.as_str());
        return Err(Error::unknown(
            with.place("key"),
            "key column",
            missing,
            known,
        ));
    }
    Ok(Source {
        watermark: watermark(statement.watermark, &columns, &with)?,
        connector: connector.name.to_owned(),
        history: with.history()?,
        format: FormatPlan {
            name: format.name().to_owned(),
            envelope: envelope.name.to_owned(),
            options: split.format,
        },
        envelope,
        columns,
        registry: registries.value,
        key_registry: registries.key,
        options: split.connector,
        name,
    })
}

fn watermark(
    statement: Option<WatermarkStatement>,
    columns: &[Column],
    with: &With<'_>,
) -> Result<Option<WatermarkPlan>, Error> {
    let Some(statement) = statement else {
        return Ok(None);
    };
    let time = column(columns, &statement.column)?;
    if time.data_type != TIMESTAMP {
        let message = format!("the watermark's column '{}' must be a TIMESTAMP", time.name);
        return Err(Error::contradiction(statement.column.at, message));
    }
    Ok(Some(WatermarkPlan {
        column: time.name.clone(),
        delay_ms: statement.delay_ms,
        max_future_ms: with.milliseconds(MAX_FUTURE, MAX_FUTURE_MS)?,
        idle_timeout_ms: with.milliseconds(IDLE_TIMEOUT, IDLE_TIMEOUT_MS)?,
        lateness_ms: with.milliseconds(LATENESS, LATENESS_MS)?,
    }))
}

/// Looks a column up.
pub fn column<'a>(columns: &'a [Column], name: &Name) -> Result<&'a Column, Error> {
    columns
        .iter()
        .find(|column| column.name == name.text)
        .ok_or_else(|| {
            Error::unknown(
                name.at,
                "column",
                &name.text,
                columns.iter().map(|column| column.name.as_str()),
            )
        })
}

/// Looks up a column of a key.
fn key_column<'a>(of: &str, columns: &'a [Column], name: &Name) -> Result<&'a Column, Error> {
    let column = column(columns, name)?;
    keys::check(of, &column.name, &column.data_type, name.at)?;
    Ok(column)
}

fn refuse_twice(names: &[Name]) -> Result<(), Error> {
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|other| other.text == name.text) {
            return Err(Error::contradiction(
                name.at,
                format!("'{}' stands in the key twice", name.text),
            ));
        }
    }
    Ok(())
}

fn deduplication(
    clause: Option<&DeduplicateClause>,
    columns: &[Column],
) -> Result<Option<Deduplication>, Error> {
    let Some(clause) = clause else {
        return Ok(None);
    };
    let by = key_column("DEDUPLICATE BY", columns, &clause.by)?
        .name
        .clone();
    Ok(Some(Deduplication {
        by,
        within_ms: clause.within_ms,
    }))
}
