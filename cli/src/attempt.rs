//! `tidemill try`: from a topic that nobody has described to a job that reads it.

mod options;
mod sample;
mod script;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use tidemill_connectors_api::ConnectorOptions;
use tidemill_formats::guess::guess;
use tidemill_terminal::{Failure, show};

use crate::plugins;
use options::Target;
use sample::Sample;
use script::Script;

const EXAMPLES: &str = "\
Examples:
  tidemill try --topic orders                                        # of the Kafka at 127.0.0.1:9092
  tidemill try --topic orders --bootstrap-servers broker:9092 --write orders.sql
  tidemill try --topic orders --profile production                   # with what profiles.toml says of sources
  tidemill try --topic orders --bootstrap-servers broker:9093 --with security.protocol=sasl_ssl --with sasl.mechanism=PLAIN \\
    --with sasl.username=me --with \"sasl.password=secret('kafka')\"
  tidemill try --path data --topic orders                            # the files data/orders/0.jsonl, 1.jsonl, …
  tidemill run orders.sql --state-dir orders.state --until-caught-up  # and then the job that was written

What is proposed is a beginning: read it, name and type the columns as you know them, and run it.";

/// Look at a topic, and propose a job that reads it: sample records, columns, and the first rows. Writes nothing to the topic.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The topic.
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Where Kafka is; default: as the profile says, or 127.0.0.1:9092.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_servers: Option<String>,
    /// A folder of topics, instead of Kafka.
    #[arg(long, value_name = "FOLDER", conflicts_with = "bootstrap_servers")]
    path: Option<PathBuf>,
    /// An option of the connector, such as security.protocol=sasl_ssl; may be repeated. A value may be secret('name'), or have ${VARIABLE} in it.
    #[arg(long = "with", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Takes the options of sources of `[profile.P]` of the configuration.
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// The configuration; default: profiles.toml in this folder, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many records are looked at.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    records: usize,
    /// Write the job to a file, which must not be there.
    #[arg(long, value_name = "JOB.sql")]
    write: Option<PathBuf>,
    /// Write one JSON object instead.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Looks, proposes, and shows what the proposal makes of the sample.
    pub fn execute(&self) -> anyhow::Result<()> {
        let connectors = plugins::connectors();
        let known: Vec<ConnectorOptions> = connectors.iter().map(|known| known.options()).collect();
        let mut target = Target::of(self, &known)?;
        let sample = Sample::read(&target, self.records)?;
        let proposal = guess(&sample.records).map_err(|reason| {
            let topic = &self.topic;
            Failure::invalid(format!(
                "cannot propose columns for topic '{topic}': {reason}"
            ))
        })?;
        target.notes.extend(proposal.notes.iter().cloned());
        let script = Script::new(&self.topic, &target, &proposal, &sample.records);
        let rows = script.first_rows(&sample.records)?;
        if let Some(path) = &self.write {
            write_new(path, &script.text)?;
        }
        if self.json {
            let object = json!({
                "topic": self.topic,
                "records": sample.len(),
                "format": proposal.format,
                "envelope": proposal.envelope,
                "sql": script.text,
                "notes": target.notes,
                "rows": rows.rows,
                "dead_letters": rows.dead_letters,
            });
            writeln!(show::stdout(), "{object}")?;
            return Ok(());
        }
        self.tell(&sample, &target.notes, &script, &rows)
    }

    fn tell(
        &self,
        sample: &Sample,
        notes: &[String],
        script: &Script,
        rows: &script::FirstRows,
    ) -> anyhow::Result<()> {
        let mut out = show::stdout();
        writeln!(out, "{} records of '{}', such as", sample.len(), self.topic)?;
        for line in sample.shown() {
            writeln!(out, "  {line}")?;
        }
        writeln!(out, "\n{}", script.text)?;
        for note in notes {
            writeln!(out, "Note: {note}.")?;
        }
        writeln!(
            out,
            "\nThe first rows, {} of {} records:",
            rows.count,
            sample.len()
        )?;
        for row in &rows.rows {
            writeln!(out, "  {row}")?;
        }
        for letter in &rows.dead_letters {
            writeln!(out, "  dead letter: {letter}")?;
        }
        match &self.write {
            Some(path) => {
                let path = path.display();
                writeln!(
                    out,
                    "\nNow: tidemill run {path} --state-dir {path}.state --until-caught-up"
                )?;
            }
            None => writeln!(
                out,
                "\nNow: the same with --write JOB.sql, read it, and run it."
            )?,
        }
        Ok(())
    }
}

fn write_new(path: &PathBuf, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    let mut file = file.map_err(|error| {
        Failure::invalid(format!(
            "cannot write '{shown}': {error}; name another file with --write"
        ))
    })?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write '{shown}'"))
}
