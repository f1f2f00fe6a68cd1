//! The job that is proposed, as SQL, and what it makes of the sample.

use std::collections::BTreeMap;

use anyhow::Context as _;
use arrow_cast::display::array_value_to_string;
use tidemill_connectors_api::ConnectorOptions;
use tidemill_formats::guess::{Proposal, ProposedColumn};
use tidemill_jobs::{self as jobs, Profile, plan_job};
use tidemill_terminal::environment;
use tidemill_types::RawRecords;
use tidemill_types::format::{Clocks, NoContracts};

use super::options::Target;
use crate::plugins;

/// So many rows are shown, and so many reasons of dead letters.
const SHOWN: usize = 5;

/// A job.
pub struct Script {
    /// Its SQL.
    pub text: String,
}

/// What became of the sample.
pub struct FirstRows {
    /// How many records are rows.
    pub count: usize,
    /// The first of them, for people.
    pub rows: Vec<String>,
    /// Why records are none, each reason once, with how often.
    pub dead_letters: Vec<String>,
}

impl Script {
    /// The job that reads a topic as proposed, and writes what it reads into files beside it.
    pub fn new(topic: &str, target: &Target, proposal: &Proposal, records: &[RawRecords]) -> Self {
        let connector = &target.connector;
        let name = name_of(topic);
        let columns = proposal.columns.iter().map(column);
        let columns = columns.collect::<Vec<_>>().join(",\n");
        let written = target.written.iter();
        let of_connector = written.map(|(option, value)| format!("{option} = {value}"));
        let of_connector = of_connector.collect::<Vec<_>>().join(", ");
        let of_format = [
            set("format", proposal.format),
            set("envelope", proposal.envelope),
        ];
        let further = proposal
            .options
            .iter()
            .map(|(option, value)| set(option, value));
        let of_format = of_format
            .into_iter()
            .chain(further)
            .collect::<Vec<_>>()
            .join(", ");
        let read = reading(&name, proposal, records);
        let text = format!(
            "CREATE SOURCE {name} (\n{columns}\n) WITH (\n    connector = '{connector}', {of_connector},\n    {of_format}\n);\n\n\
             {read}"
        );
        Self { text }
    }

    /// Reads the sample as the job's source does.
    pub fn first_rows(&self, records: &[RawRecords]) -> anyhow::Result<FirstRows> {
        let connectors = plugins::connectors();
        let connectors: Vec<ConnectorOptions> =
            connectors.iter().map(|known| known.options()).collect();
        let formats = plugins::formats();
        let context = jobs::Context {
            profile: &Profile::default(),
            environment: &environment::variable,
            secrets: &|_| Ok("***".to_owned()),
            formats: &formats,
            connectors: &connectors,
            contracts: &NoContracts,
        };
        let plan = plan_job("try", &self.text, context)
            .with_context(|| format!("the proposal is no job:\n{}", self.text))?;
        let source = &plan.sources[0];
        let format = formats
            .named(&source.format.name)
            .context("a planned format")?;
        let mut decoder = format.decoder(&source.spec(None))?;
        let (mut count, mut rows) = (0, Vec::new());
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for part in records {
            let decoded = decoder.decode(part, Clocks::default());
            count += decoded.rows.num_rows();
            for row in 0..decoded
                .rows
                .num_rows()
                .min(SHOWN.saturating_sub(rows.len()))
            {
                rows.push(shown(&decoded.rows, row)?);
            }
            for letter in decoded.dead_letters {
                *reasons.entry(letter.reason).or_default() += 1;
            }
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let letters = reasons.into_iter().take(SHOWN);
        Ok(FirstRows {
            count,
            rows,
            dead_letters: letters
                .map(|(reason, times)| format!("{reason} ({times} times)"))
                .collect(),
        })
    }
}

fn shown(rows: &arrow_array::RecordBatch, row: usize) -> anyhow::Result<String> {
    let schema = rows.schema();
    let mut cells = Vec::new();
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        if field.name().starts_with("__") {
            continue;
        }
        let value = if column.is_null(row) {
            "NULL".to_owned()
        } else {
            array_value_to_string(column, row)?
        };
        cells.push(format!("{} = {value}", field.name()));
    }
    Ok(cells.join(", "))
}

/// A table of the current state where the envelope has deletes, else a stream; and a sink that writes it into files.
fn reading(name: &str, proposal: &Proposal, records: &[RawRecords]) -> String {
    let key = match proposal.envelope {
        "upsert" => proposal.options.get("key").cloned(),
        "crud" => Some("id".to_owned()),
        "debezium" => Some(tidemill_formats::guess::key_names(records).join(", ")),
        _ => None,
    };
    let known = |column: &str| proposal.columns.iter().any(|known| known.name == column);
    let key = key.filter(|key| key.split(", ").all(known));
    match key {
        Some(key) => format!(
            "-- What each key has now. Add VERSION BY a column that grows, where records may come out of order.\n\
             CREATE TABLE {name}_now (PRIMARY KEY ({key})) FROM {name};\n\n\
             CREATE SINK {name}_sink WITH (connector = 'files', path = 'out', topic = '{name}', key = '{key}')\n    \
             AS SELECT * FROM {name}_now;\n"
        ),
        None => format!(
            "CREATE STREAM {name}_events FROM {name};\n\n\
             CREATE SINK {name}_sink WITH (connector = 'files', path = 'out', topic = '{name}')\n    \
             AS SELECT * FROM {name}_events;\n"
        ),
    }
}

fn column(column: &ProposedColumn) -> String {
    let line = format!("    {} {} {}", column.name, column.sql_type, column.from);
    line.trim_end().to_owned()
}

fn set(option: &str, value: &str) -> String {
    format!("{option} = '{}'", value.replace('\'', "''"))
}

/// A name of SQL made of a topic's.
fn name_of(topic: &str) -> String {
    let name: String = topic
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        format!("topic_{name}")
    } else {
        name
    }
}
