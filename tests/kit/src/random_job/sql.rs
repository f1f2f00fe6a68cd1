//! Writes a job as SQL: every relation a statement of its own, views over views.

use super::job::{
    Aggregate, Calculation, Comparison, Envelope, Expr, Function, HISTORY, Job, JoinKind, Op,
    Origin, Relation, Sink, Source, Written,
};
use crate::codec::{SinkCodec, source_options};
use crate::value::{Nested, Type, Value, time_text};

/// What the options of sources and sinks say.
#[derive(Debug, Clone, Copy)]
pub struct Connector<'a> {
    /// Its name.
    pub name: &'a str,
    /// Further options of a source as SQL, such as `path = '/data'`; none if empty.
    pub source_options: &'a str,
    /// Further options of a sink.
    pub sink_options: &'a str,
    /// The connector of the sinks that are delivered; without one, none is.
    pub delivered: Option<&'a str>,
    /// Sources that have a history begin with it; else it is in their topic like all the rest.
    pub histories: bool,
}

/// Longer than any run: what is remembered for so long is never forgotten.
const FOR_EVER: &str = "INTERVAL '36500' DAY";

impl Job {
    /// The job as SQL.
    #[must_use]
    pub fn sql(&self, connector: &Connector<'_>) -> String {
        let sources = self
            .sources
            .iter()
            .map(|source| create_source(source, connector));
        let relations = self.relations.iter().map(|relation| self.create(relation));
        let sinks = self
            .sinks
            .iter()
            .map(|sink| self.create_sink(sink, connector));
        sources.chain(relations).chain(sinks).collect()
    }

    fn create_sink(&self, sink: &Sink, connector: &Connector<'_>) -> String {
        let relation = &self.relations[sink.input];
        let option = |option: &str, columns: &[usize]| {
            let names = columns
                .iter()
                .map(|&index| relation.columns[index].name.as_str());
            match names.collect::<Vec<_>>().as_slice() {
                [] => String::new(),
                names => format!(", {option} = '{}'", names.join(", ")),
            }
        };
        let beside = [
            option("key", &sink.key),
            option("headers", &sink.headers),
            option("timestamp", sink.timestamp.as_slice()),
        ]
        .concat();
        let envelope = match sink.written {
            Written::Plain => "plain",
            Written::Upsert => "upsert",
            Written::Debezium => "debezium",
        };
        let delivered = connector.delivered.filter(|_| sink.is_delivered);
        format!(
            "CREATE SINK {} WITH (connector = '{}'{}, topic = '{}', {}{beside}, envelope = '{envelope}') AS SELECT * FROM {};\n",
            sink.name,
            delivered.unwrap_or(connector.name),
            further(if delivered.is_some() {
                ""
            } else {
                connector.sink_options
            }),
            sink.topic,
            SinkCodec::new(sink, relation, &[]).options(),
            relation.name,
        )
    }

    fn create(&self, relation: &Relation) -> String {
        let name = &relation.name;
        match &relation.op {
            Op::Table {
                source,
                dedup,
                version,
            } => format!(
                "CREATE TABLE {name} (PRIMARY KEY (id)) FROM {}{}{} TOMBSTONES FOR {FOR_EVER};\n",
                self.sources[*source].name,
                deduplicate(*dedup),
                if *version { " VERSION BY ts" } else { "" },
            ),
            Op::Stream {
                source,
                dedup,
                resequence_ms,
            } => {
                let source = &self.sources[*source];
                let order = resequence_ms
                    .zip(source.watermark)
                    .map(|(within_ms, watermark)| {
                        let by = &source.columns[watermark.column].name;
                        format!(" RESEQUENCE BY {by} PER id WITHIN {}", interval(within_ms))
                    });
                format!(
                    "CREATE STREAM {name} FROM {}{}{};\n",
                    source.name,
                    deduplicate(*dedup),
                    order.unwrap_or_default()
                )
            }
            _ => format!("CREATE VIEW {name} AS {};\n", self.query(relation)),
        }
    }

    fn query(&self, relation: &Relation) -> String {
        match &relation.op {
            Op::Table { .. } | Op::Stream { .. } => format!("SELECT * FROM {}", relation.name),
            Op::DeadLetters { rows } => {
                // A row that could not be computed has its stage for a topic, and a place only if it still has that of its event.
                let columns = [
                    "CASE WHEN stage = 'row' THEN 'row' ELSE topic END",
                    "CASE WHEN stage = 'row' THEN 0 ELSE CAST(partition AS BIGINT) END",
                    "CASE WHEN stage = 'row' THEN -1 ELSE \"offset\" END",
                    "stage",
                    "\"key\"",
                    "CASE WHEN stage = 'row' THEN NULL ELSE bytes END",
                ];
                let only = if *rows { "" } else { " WHERE stage <> 'row'" };
                let columns = listed(columns.map(str::to_owned), relation);
                format!("SELECT {columns} FROM tidemill_dead_letters{only}")
            }
            Op::Late => {
                let columns = [
                    "topic",
                    "CAST(partition AS BIGINT)",
                    "\"offset\"",
                    "reason",
                    "bytes",
                ];
                let columns = listed(columns.map(str::to_owned), relation);
                format!("SELECT {columns} FROM tidemill_late")
            }
            Op::Tumble { .. } => self.tumble(relation),
            Op::Project { input, columns } => {
                let input = &self.relations[*input];
                let exprs = columns.iter().map(|expr| expression(expr, input));
                format!("SELECT {} FROM {}", listed(exprs, relation), input.name)
            }
            Op::Filter { input, predicate } => {
                let input = &self.relations[*input];
                format!(
                    "SELECT {} FROM {} WHERE {}",
                    listed(names(input), relation),
                    input.name,
                    expression(predicate, input)
                )
            }
            Op::Aggregate { .. } => self.grouped(relation),
            Op::Join { .. } => self.join(relation),
            Op::Distinct { input } => {
                let input = &self.relations[*input];
                let columns = listed(names(input), relation);
                format!("SELECT DISTINCT {columns} FROM {}", input.name)
            }
            Op::Union { inputs, distinct } => {
                let parts: Vec<String> = (inputs.iter())
                    .map(|(input, columns)| {
                        let input = &self.relations[*input];
                        let names = columns
                            .iter()
                            .map(|&index| input.columns[index].name.clone());
                        format!("SELECT {} FROM {}", listed(names, relation), input.name)
                    })
                    .collect();
                parts.join(if *distinct { " UNION " } else { " UNION ALL " })
            }
        }
    }

    fn tumble(&self, relation: &Relation) -> String {
        let Op::Tumble {
            input,
            time,
            size_ms,
        } = &relation.op
        else {
            return String::new();
        };
        let input = &self.relations[*input];
        let bounds = ["window_start", "window_end"].map(str::to_owned);
        format!(
            "SELECT {} FROM TABLE(TUMBLE(TABLE {}, DESCRIPTOR({}), {}))",
            listed(names(input).chain(bounds), relation),
            input.name,
            input.columns[*time].name,
            interval(*size_ms),
        )
    }

    fn grouped(&self, relation: &Relation) -> String {
        let Op::Aggregate {
            input,
            group,
            aggregates,
            ..
        } = &relation.op
        else {
            return String::new();
        };
        let input = &self.relations[*input];
        let group: Vec<String> = (group.iter())
            .map(|&index| input.columns[index].name.clone())
            .collect();
        let computed = aggregates.iter().map(|one| aggregate(one, input));
        let columns = listed(group.iter().cloned().chain(computed), relation);
        let by = match group.as_slice() {
            [] => String::new(),
            group => format!(" GROUP BY {}", group.join(", ")),
        };
        format!("SELECT {columns} FROM {}{by}", input.name)
    }

    fn join(&self, relation: &Relation) -> String {
        let Op::Join {
            first,
            steps,
            select,
        } = &relation.op
        else {
            return String::new();
        };
        let inputs = relation.op.inputs();
        let name = |part: usize, index: usize| {
            let column = &self.relations[inputs[part]].columns[index];
            format!("j{part}.{}", column.name)
        };
        let columns = select.iter().map(|&(part, index)| name(part, index));
        let mut query = format!(
            "SELECT {} FROM {} AS j0",
            listed(columns, relation),
            self.relations[*first].name
        );
        for (part, step) in (1..).zip(steps) {
            let kind = match step.kind {
                JoinKind::Inner => "JOIN",
                JoinKind::Left => "LEFT JOIN",
                JoinKind::Right => "RIGHT JOIN",
                JoinKind::Full => "FULL JOIN",
            };
            let on: Vec<String> = (step.on.iter())
                .map(|&(left, right)| format!("{} = {}", name(0, left), name(part, right)))
                .collect();
            let other = &self.relations[step.input].name;
            query.push_str(&format!(
                " {kind} {other} AS j{part} ON {}",
                on.join(" AND ")
            ));
        }
        query
    }
}

fn create_source(source: &Source, connector: &Connector<'_>) -> String {
    let mut columns: Vec<String> = (source.columns.iter())
        .map(|column| {
            let not_null = if column.nullable { "" } else { " NOT NULL" };
            let from = match (source.envelope, column.origin) {
                (Envelope::Crud, Origin::Id) => " METADATA FROM 'id'",
                (Envelope::Crud | Envelope::Debezium, Origin::Ts) => " METADATA FROM 'ts'",
                (Envelope::Crud, Origin::Uuid) => " METADATA FROM 'uuid'",
                (Envelope::CloudEvents, Origin::Ts) => " METADATA FROM 'time'",
                (Envelope::CloudEvents, Origin::Uuid) => " METADATA FROM 'id'",
                (_, Origin::Written) => " METADATA FROM 'timestamp'",
                (_, Origin::Header) => &format!(" METADATA FROM 'headers.{}'", column.name),
                _ => "",
            };
            format!("{} {}{not_null}{from}", column.name, type_name(column.ty))
        })
        .collect();
    let keys = source
        .columns
        .iter()
        .filter(|column| source.is_of_key(column));
    let keys: Vec<_> = keys.map(|column| column.name.as_str()).collect();
    let mut options = match keys.as_slice() {
        [] => String::new(),
        keys => format!(", key = '{}'", keys.join(", ")),
    };
    if let Some(watermark) = source.watermark {
        let name = &source.columns[watermark.column].name;
        let delay = interval(watermark.delay_ms);
        columns.push(format!("WATERMARK FOR {name} AS {name} - {delay}"));
        options += &format!(
            ", watermark.max-future = '{} ms', watermark.allowed-lateness = '{} ms'",
            watermark.max_future_ms, watermark.allowed_lateness_ms
        );
    }
    let envelope = match source.envelope {
        Envelope::Crud => format!("crud', entity = '{}", source.entity),
        Envelope::Debezium => "debezium".to_owned(),
        Envelope::Upsert => "upsert".to_owned(),
        Envelope::Plain => "plain".to_owned(),
        Envelope::CloudEvents => "cloudevents".to_owned(),
    };
    if source.has_history && connector.histories {
        let (name, topic) = (connector.name, &source.topic);
        options += &format!(", backfill.connector = '{name}', backfill.topic = '{HISTORY}{topic}'");
    }
    format!(
        "CREATE SOURCE {} ({}) WITH (connector = '{}'{}, topic = '{}', {}, envelope = '{envelope}'{options});\n",
        source.name,
        columns.join(", "),
        connector.name,
        further(connector.source_options),
        source.topic,
        source_options(source),
    )
}

fn further(options: &str) -> String {
    match options {
        "" => String::new(),
        options => format!(", {options}"),
    }
}

fn deduplicate(dedup: bool) -> String {
    if dedup {
        format!(" DEDUPLICATE BY uuid WITHIN {FOR_EVER}")
    } else {
        String::new()
    }
}

fn interval(ms: i64) -> String {
    format!("INTERVAL '{}' SECOND", ms / 1_000)
}

fn names(relation: &Relation) -> impl Iterator<Item = String> {
    relation.columns.iter().map(|column| column.name.clone())
}

/// Expressions under the names of a relation's columns.
fn listed(exprs: impl IntoIterator<Item = String>, relation: &Relation) -> String {
    let named = exprs.into_iter().zip(&relation.columns);
    let named: Vec<String> = named
        .map(|(expr, column)| {
            if expr == column.name {
                expr
            } else {
                format!("{expr} AS {}", column.name)
            }
        })
        .collect();
    named.join(", ")
}

const fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "BOOLEAN",
        Type::Int => "BIGINT",
        Type::Decimal(_) => "DECIMAL(18, 2)",
        Type::Text => "VARCHAR",
        Type::Date => "DATE",
        Type::Time => "TIMESTAMP",
        Type::Uuid => "UUID",
        Type::Double => "DOUBLE",
        Type::Bytes => "BYTEA",
        Type::Nested(Nested::Struct) => "STRUCT<n BIGINT, label VARCHAR>",
        Type::Nested(Nested::Array) => "ARRAY<DECIMAL(18, 2)>",
        Type::Nested(Nested::Map) => "MAP<VARCHAR, BIGINT>",
    }
}

fn aggregate(aggregate: &Aggregate, input: &Relation) -> String {
    let function = match aggregate.function {
        Function::Sum => "sum",
        Function::Count => "count",
        Function::Avg => "avg",
        Function::Min => "min",
        Function::Max => "max",
    };
    let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
    let argument = aggregate
        .argument
        .map_or("*", |index| &input.columns[index].name);
    let filter = aggregate
        .filter
        .as_ref()
        .map(|filter| format!(" FILTER (WHERE {})", expression(filter, input)));
    format!(
        "{function}({distinct}{argument}){}",
        filter.unwrap_or_default()
    )
}

fn expression(expr: &Expr, input: &Relation) -> String {
    let of = |expr: &Expr| expression(expr, input);
    match expr {
        Expr::Column(index) => input.columns[*index].name.clone(),
        Expr::Literal(value) => literal(value),
        Expr::Calculate(a, calculation, b) => {
            let sign = match calculation {
                Calculation::Add => "+",
                Calculation::Subtract => "-",
                Calculation::Multiply => "*",
                Calculation::Divide => "/",
            };
            format!("({} {sign} {})", of(a), of(b))
        }
        Expr::Compare(a, comparison, b) => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::AtLeast => ">=",
            };
            format!("({} {sign} {})", of(a), of(b))
        }
        Expr::And(a, b) => format!("({} AND {})", of(a), of(b)),
        Expr::Or(a, b) => format!("({} OR {})", of(a), of(b)),
        Expr::Not(a) => format!("(NOT {})", of(a)),
        Expr::IsNull(a) => format!("({} IS NULL)", of(a)),
        Expr::Case(condition, some, other) => {
            let (condition, some, other) = (of(condition), of(some), of(other));
            format!("CASE WHEN {condition} THEN {some} ELSE {other} END")
        }
        Expr::Coalesce(a, b) => format!("COALESCE({}, {})", of(a), of(b)),
        Expr::Concat(a, b) => format!("({} || {})", of(a), of(b)),
        Expr::Cast(a, ty) => format!("CAST({} AS {})", of(a), type_name(*ty)),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => format!("'{text}'"),
        Value::Time(ms) => format!("TIMESTAMP '{}'", time_text(*ms)),
        Value::Int(number) if *number < 0 => format!("({number})"),
        Value::Decimal(digits, _) if *digits < 0 => {
            format!("({})", value.to_json().as_str().unwrap_or_default())
        }
        Value::Decimal(..) | Value::Date(_) => {
            value.to_json().as_str().unwrap_or_default().to_owned()
        }
        other => other.to_json().to_string(),
    }
}
