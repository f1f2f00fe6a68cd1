//! Draws what a job reads: sources, and the tables and streams made of them.

use rand::RngExt;

use super::Draft;
use super::job::{
    Column, Encoding, Envelope, Op, Origin, Relation, Source, SourceColumn, Watermark,
};
use crate::value::{Nested, Type};

/// Keys that a source's events have.
pub(super) const KEYS: i64 = 6;
/// Records that a source has at most.
pub(super) const RECORDS_MAX: usize = 40;
/// The columns that have values in their values; a source has one of them at most.
const NESTED: [(&str, Nested); 3] = [
    ("place", Nested::Struct),
    ("prices", Nested::Array),
    ("counts", Nested::Map),
];
const DAY_MS: i64 = 86_400_000;
/// A record so far ahead of when it was written is a dead letter.
const MAX_FUTURE_MS: i64 = DAY_MS;
/// Longer than any run.
const FOR_EVER_MS: i64 = 36_500 * DAY_MS;

impl Draft {
    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// One of some things.
    pub(super) fn pick<T: Clone>(&mut self, things: &[T]) -> T {
        things[self.rng.random_range(0..things.len())].clone()
    }

    /// Adds a relation.
    pub(super) fn add(&mut self, relation: Relation) -> usize {
        for input in relation.op.inputs() {
            self.uses[input] += 1;
        }
        self.uses.push(0);
        self.job.relations.push(relation);
        self.job.relations.len() - 1
    }

    /// The sources, each with a table, a stream, or both.
    pub(super) fn sources(&mut self) {
        for index in 0..self.rng.random_range(1..=3) {
            let source = self.source(index);
            self.job.sources.push(source);
            let (table, stream) = match self.rng.random_range(0..10) {
                0..=3 => (true, false),
                4..=6 => (false, true),
                _ => (true, true),
            };
            if table {
                self.table(index);
            }
            if stream {
                self.stream(index);
            }
        }
    }

    fn source(&mut self, index: usize) -> Source {
        let mut columns = Vec::new();
        let mut column = |name: &str, ty, nullable, origin| {
            columns.push(SourceColumn {
                name: name.to_owned(),
                ty,
                nullable,
                origin,
            });
        };
        let uuid = if self.chance(50) {
            Type::Uuid
        } else {
            Type::Text
        };
        let required = self.chance(30);
        column("id", Type::Int, false, Origin::Id);
        column("k", Type::Int, true, Origin::Data);
        column("n", Type::Int, !required, Origin::Data);
        column("amount", Type::Decimal(2), true, Origin::Data);
        column("label", Type::Text, true, Origin::Data);
        for (name, ty, percent) in [
            ("flag", Type::Bool, 50),
            ("due", Type::Date, 40),
            ("moment", Type::Time, 60),
        ] {
            if self.chance(percent) {
                column(name, ty, true, Origin::Data);
            }
        }
        if self.chance(30) {
            let (name, nested) = self.pick(&NESTED);
            column(name, Type::Nested(nested), true, Origin::Data);
        }
        column("ts", Type::Time, true, Origin::Ts);
        column("uuid", uuid, true, Origin::Uuid);
        let times = columns.iter().enumerate();
        let times: Vec<usize> = times
            .filter(|(_, column)| column.ty == Type::Time)
            .map(|(index, _)| index)
            .collect();
        let watermark = self.chance(85).then(|| Watermark {
            column: self.pick(&times),
            delay_ms: self.pick(&[0, 5_000, 60_000, 600_000]),
            max_future_ms: MAX_FUTURE_MS,
            allowed_lateness_ms: self.allowed_lateness_ms(),
        });
        Source {
            envelope: self.envelope(),
            encoding: Encoding::Json,
            name: format!("source{index}"),
            topic: format!("in{index}"),
            entity: format!("thing{index}"),
            partitions: self.rng.random_range(1..=4),
            columns,
            watermark,
            keys_stay: false,
            has_history: false,
        }
    }

    fn envelope(&mut self) -> Envelope {
        match self.rng.random_range(0..20) {
            0..=8 => Envelope::Crud,
            9..=12 => Envelope::Debezium,
            13..=15 if self.shapes.keyed_records => Envelope::Upsert,
            13..=17 => Envelope::Plain,
            _ => Envelope::CloudEvents,
        }
    }

    fn allowed_lateness_ms(&mut self) -> i64 {
        if self.shapes.windows_that_end && self.chance(60) {
            self.pick(&[0, 300_000, 1_800_000])
        } else {
            FOR_EVER_MS
        }
    }

    fn table(&mut self, source: usize) {
        let (dedup, version) = (self.chance(60), self.chance(65));
        // A tombstone has no time but its record's.
        let version = version && self.job.sources[source].envelope != Envelope::Upsert;
        if !version && !self.shapes.keys_that_move {
            self.job.sources[source].keys_stay = true;
        }
        let columns = self.source_columns(source, false);
        let op = Op::Table {
            source,
            dedup,
            version,
        };
        self.add(Relation {
            name: format!("table{source}"),
            key: Some(vec![self.job.column_named(source, "id")]),
            retracts: true,
            durable: true,
            grows: false,
            rows_max: usize::try_from(KEYS).unwrap_or_default(),
            ..plain(op, columns)
        });
    }

    fn stream(&mut self, source: usize) {
        let dedup = self.chance(60);
        let orders = self.job.sources[source].watermark.is_some() && self.chance(55);
        let within = if self.shapes.resequence_at_once && self.chance(25) {
            0
        } else {
            self.pick(&[60_000, 300_000, 1_200_000])
        };
        let resequence_ms = orders.then_some(within);
        let columns = self.source_columns(source, true);
        let op = Op::Stream {
            source,
            dedup,
            resequence_ms,
        };
        self.add(Relation {
            name: format!("stream{source}"),
            rows_max: RECORDS_MAX,
            ..plain(op, columns)
        });
    }

    fn source_columns(&self, source: usize, stream: bool) -> Vec<Column> {
        let envelope = self.job.sources[source].envelope;
        let columns = self.job.sources[source].columns.iter();
        let mut columns: Vec<Column> = columns
            .map(|column| Column {
                name: column.name.clone(),
                ty: column.ty,
                nullable: column.nullable || (stream && !envelope.is_always_there(column.origin)),
                bound: None,
            })
            .collect();
        if stream {
            columns.push(Column {
                name: "change_type".to_owned(),
                ty: Type::Text,
                nullable: false,
                bound: None,
            });
        }
        columns
    }
}

/// Rows that only come, without a key.
pub(super) fn plain(op: Op, columns: Vec<Column>) -> Relation {
    Relation {
        name: String::new(),
        columns,
        op,
        key: None,
        key_may_be_null: false,
        retracts: false,
        durable: false,
        grows: true,
        fails: false,
        lost_windows: false,
        needed: Vec::new(),
        rows_max: RECORDS_MAX,
    }
}
