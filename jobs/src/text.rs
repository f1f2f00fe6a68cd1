//! The text of a plan: what a person reads, what golden files hold, and what a plan's identity is made of.
//!
//! The identity ([`JobPlan::hash`]) is that of the text without the options, so it covers what is computed from what (sources with their
//! connector and topic, columns, operators, sinks with theirs) and leaves out how systems are reached (addresses, credentials, tuning):
//! moving a broker keeps it, moving a source from Kafka to files does not, because recorded positions would mean something else.

use std::fmt::{Display, Formatter, Write};

use arrow_schema::Schema;
use tidemill_types::sql_type;

use crate::options::{Options, is_secret, shown};
use crate::plan::{
    ColumnOrigin, FormatPlan, JobPlan, Names, Node, NodeId, RegistryPlan, SinkPlan, SourcePlan,
};

impl JobPlan {
    /// The plan's identity: hex of the 128-bit xxh3 of the text without options.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, false);
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
    }

    fn write(&self, out: &mut dyn Write, with_options: bool) -> std::fmt::Result {
        writeln!(out, "job {}", self.name)?;
        for source in &self.sources {
            source_line(out, source)?;
            if with_options {
                if let Some(history) = &source.history {
                    option_lines(out, "backfill.", &history.options)?;
                }
                option_lines(out, "", &source.options)?;
                registry_lines(out, source.registries())?;
            }
        }
        for node in &self.nodes {
            self.node_line(out, node)?;
        }
        for sink in &self.sinks {
            self.sink_line(out, sink)?;
            if with_options {
                option_lines(out, "", &sink.options)?;
                registry_lines(out, sink.registries())?;
            }
        }
        Ok(())
    }

    fn node_line(&self, out: &mut dyn Write, node: &Node) -> std::fmt::Result {
        let name = |id: NodeId| self.nodes[id].name.clone();
        let source_name = |index: usize| self.sources[index].name.clone();
        let mode = if node.retracts { "retracts" } else { "appends" };
        let names = Names {
            node: &name,
            source: &source_name,
        };
        let words = node.op.stage().words(&names);
        write!(out, "node {}: {words}; {mode}; ", node.name)?;
        let inputs = node.op.inputs();
        match inputs.first() {
            Some(input) if self.nodes[*input].schema == node.schema => {
                writeln!(out, "columns of {}", name(*input))
            }
            _ => writeln!(out, "columns {}", columns(&node.schema)),
        }
    }

    fn sink_line(&self, out: &mut dyn Write, sink: &SinkPlan) -> std::fmt::Result {
        write!(
            out,
            "sink {}: {} '{}', {}",
            sink.name,
            sink.connector,
            sink.target,
            format_text(&sink.format)
        )?;
        if let Some(registry) = &sink.registry {
            write!(out, ", contract '{}'", registry.subject)?;
        }
        if let Some(registry) = &sink.key_registry {
            write!(out, ", keys '{}'", registry.subject)?;
        }
        if !sink.key.is_empty() {
            write!(out, " by {}", sink.key.join(", "))?;
        }
        if sink.shares_keys {
            write!(out, " (rows may share it)")?;
        }
        if !sink.headers.is_empty() {
            write!(out, ", headers {}", sink.headers.join(", "))?;
        }
        if let Some(timestamp) = &sink.timestamp {
            write!(out, ", timestamp {timestamp}")?;
        }
        writeln!(out, ", from {}", self.nodes[sink.input].name)
    }
}

impl Display for JobPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.write(f, true)
    }
}

fn place(connector: &str, options: &Options) -> String {
    match (options.get("topic"), options.get("topic.pattern")) {
        (Some(topic), _) => format!("{connector} '{topic}'"),
        (None, Some(pattern)) => format!("{connector} topics like '{pattern}'"),
        (None, None) => connector.to_owned(),
    }
}

/// A value that is a line, or else its hash: what a file held.
fn brief(value: &str) -> String {
    const BYTES_MAX: usize = 200;
    if value.len() <= BYTES_MAX && !value.contains('\n') {
        return value.to_owned();
    }
    let hash = xxhash_rust::xxh3::xxh3_128(value.as_bytes());
    format!("{} bytes, {hash:032x}", value.len())
}

/// A format with its envelope, and all that is told to either: it is part of what is computed.
fn format_text(format: &FormatPlan) -> String {
    let mut text = format!("{} {}", format.envelope, format.name);
    // As those of a connector, what is secret is neither shown nor part of the identity: it may change.
    let options = format.options.iter();
    let options = options.filter(|(name, _)| !is_secret(name));
    let options: Vec<_> = options
        .map(|(name, value)| format!("{name} = '{}'", brief(value)))
        .collect();
    if !options.is_empty() {
        text += &format!(" ({})", options.join(", "));
    }
    text
}

fn source_line(out: &mut dyn Write, source: &SourcePlan) -> std::fmt::Result {
    write!(out, "source {}: ", source.name)?;
    if let Some(history) = &source.history {
        let history = place(&history.connector, &history.options);
        write!(out, "{history} to its end, then ")?;
    }
    let of = place(&source.connector, &source.options);
    write!(out, "{of}, {}", format_text(&source.format))?;
    for (of, registry) in [
        ("contract", &source.registry),
        ("keys", &source.key_registry),
    ] {
        let Some(registry) = registry else { continue };
        match &registry.contract {
            Some(contract) => write!(out, ", {of} {contract}")?,
            None => write!(out, ", {of} '{}'", registry.subject)?,
        }
    }
    if let Some(watermark) = &source.watermark {
        write!(
            out,
            ", watermark {} - {} ms (at most {} ms ahead, idle after {} ms, windows over after {} ms)",
            watermark.column,
            watermark.delay_ms,
            watermark.max_future_ms,
            watermark.idle_timeout_ms,
            watermark.lateness_ms
        )?;
    }
    if source.kept.bytes {
        write!(out, ", keeps bytes")?;
    }
    let columns = source.columns.iter().map(|column| {
        let from = match &column.origin {
            ColumnOrigin::Data(path) if path.is_member(&column.name) => String::new(),
            ColumnOrigin::Data(path) => format!(" from data '{path}'"),
            ColumnOrigin::Key(path) => format!(" from key '{path}'"),
            ColumnOrigin::Metadata(field) => format!(" from metadata '{field}'"),
        };
        format!(
            "{} {}{}{from}",
            column.name,
            sql_type::name(&column.data_type),
            not_null(column.nullable)
        )
    });
    writeln!(out, "; columns {}", columns.collect::<Vec<_>>().join(", "))
}

/// The options that the other lines do not show, and that are no secret; in the SQL their names begin so.
fn option_lines(out: &mut dyn Write, beginning: &str, options: &Options) -> std::fmt::Result {
    for (name, value) in options {
        if !["topic", "topic.pattern"].contains(&name.as_str()) && !is_secret(name) {
            writeln!(out, "  with {beginning}{name} = '{}'", shown(value))?;
        }
    }
    Ok(())
}

fn registry_lines<'a>(
    out: &mut dyn Write,
    mut registries: impl Iterator<Item = &'a RegistryPlan>,
) -> std::fmt::Result {
    // All that there are, are one.
    let first = registries.next();
    first.map_or(Ok(()), |registry| option_lines(out, "", &registry.options))
}

const fn not_null(nullable: bool) -> &'static str {
    if nullable { "" } else { " NOT NULL" }
}

/// Columns with their types, in SQL's words.
pub fn columns(schema: &Schema) -> String {
    let column = |field: &arrow_schema::FieldRef| {
        format!(
            "{} {}{}",
            field.name(),
            sql_type::name(field.data_type()),
            not_null(field.is_nullable())
        )
    };
    schema
        .fields()
        .iter()
        .map(column)
        .collect::<Vec<_>>()
        .join(", ")
}
