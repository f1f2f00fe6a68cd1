//! `tidemill plan`: what a job will do.

use std::io::Write;

use clap::Args;
use serde_json::json;
use tidemill_terminal::show;

use crate::job::JobArguments;

const EXAMPLES: &str = "\
Examples:
  tidemill plan jobs/catalog/studio_finance.sql
  tidemill plan jobs/catalog/studio_finance.sql --profile local      # with files instead of Kafka
  diff <(tidemill plan old.sql) <(tidemill plan new.sql)             # what a change of the SQL changes

The same SQL always gives the same text. A mistake is reported as FILE:LINE:COLUMN, with exit code 2.";

/// Print what a job will do: its sources, its operators and its sinks. Reads no data.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    job: JobArguments,
    /// Write one JSON object instead: name, hash, sources, sinks, and the text.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Plans and prints.
    pub fn execute(&self) -> anyhow::Result<()> {
        let (plan, unasked) = self.job.load_to_show()?;
        if !self.json {
            write!(show::stdout(), "{plan}")?;
            for note in &unasked {
                anstream::eprintln!("note: {note}");
            }
            return Ok(());
        }
        let topic =
            |options: &std::collections::BTreeMap<String, String>| options.get("topic").cloned();
        let sources = plan
            .sources
            .iter()
            .map(|source| json!({ "name": source.name, "topic": topic(&source.options) }));
        let sinks = plan.sinks.iter().map(|sink| {
            json!({ "name": sink.name, "topic": topic(&sink.options), "envelope": sink.format.envelope, "key": sink.key })
        });
        let object = json!({
            "name": plan.name,
            "hash": plan.hash(),
            "sources": sources.collect::<Vec<_>>(),
            "sinks": sinks.collect::<Vec<_>>(),
            "text": plan.to_string(),
            "unasked": unasked,
        });
        writeln!(show::stdout(), "{object}")?;
        Ok(())
    }
}
