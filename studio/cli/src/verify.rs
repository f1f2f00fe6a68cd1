//! `tidemill-studio verify`: holds what a job committed against an independent computation.

mod print;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};
use tidemill_connectors_kafka::tools::end_offsets;
use tidemill_studio::epochs::{AtomicReport, check_atomic};
use tidemill_studio::{
    FilesInput, InputReader, OutputReader, Report, Topic, VerifySettings, topic,
};
use tidemill_terminal::environment::now_ms;
use tidemill_terminal::{Failure, show};
use tidemill_types::ErrorKind;

use crate::files::FilesOutput;
use crate::generate::System;
use crate::kafka::KafkaTopics;

const EXAMPLES: &str = "\
Examples:
  tidemill-studio verify --from files --path /tmp/studio
  tidemill-studio verify --from kafka --bootstrap 127.0.0.1:9092

Run it when the job jobs/catalog/studio_finance.sql has caught up. It reads all events and computes, another way than the job, every row that must
be there; then it goes through the commits one by one, and looks for totals that do not add up. Ends with 1 if anything is wrong, and shows where.";

/// Hold what the finance job committed against an independent computation, row by row.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where events and outputs are.
    #[arg(long)]
    from: System,
    /// With files: the folder of topics.
    #[arg(long, value_name = "DIR", required_if_eq("from", "files"))]
    path: Option<PathBuf>,
    /// With Kafka: the brokers.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Write one JSON object with everything that was found.
    #[arg(long)]
    json: bool,
}

/// What was found, row by row and commit by commit.
struct Findings {
    rows: Report,
    commits: AtomicReport,
}

impl Arguments {
    /// Verifies.
    pub fn execute(&self) -> anyhow::Result<()> {
        let findings = match self.from {
            System::Files => {
                let path = self
                    .path
                    .as_deref()
                    .context("--from files needs --path DIR")?;
                let partitions = count_partition_files(path)?;
                verify(
                    &FilesInput::new(path),
                    &FilesOutput::new(path.to_owned()),
                    partitions,
                )?
            }
            System::Kafka => {
                let partitions = end_offsets(&self.bootstrap, Topic::CashFlow.name())?.len();
                // Told apart from a wrong row here, because the verifier only knows that it cannot read.
                end_offsets(&self.bootstrap, topic::DEAD_LETTERS).context(
                    "the job has not run here: run jobs/catalog/studio_finance.sql first",
                )?;
                let topics = KafkaTopics::new(self.bootstrap.clone());
                verify(&topics, &topics, u32::try_from(partitions)?)?
            }
        };
        let mut out = show::stdout();
        if self.json {
            writeln!(out, "{}", findings.to_json())?;
        } else {
            print::print(&mut out, &findings)?;
        }
        if findings.are_good() {
            return Ok(());
        }
        let message = "what the job committed is not what the events give; the first differences are listed on standard output";
        Err(Failure::new(ErrorKind::Data, message).into())
    }
}

/// The windows of cash flow close when every partition has gone on: how many are there?
fn count_partition_files(path: &Path) -> anyhow::Result<u32> {
    let folder = path.join(Topic::CashFlow.name());
    let entries = std::fs::read_dir(&folder).map_err(|error| {
        Failure::invalid(format!(
            "cannot list '{}': {error}; name the folder that 'generate' wrote into",
            folder.display()
        ))
    })?;
    let is_partition = |entry: &std::fs::DirEntry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "jsonl")
    };
    Ok(u32::try_from(
        entries.filter_map(Result::ok).filter(is_partition).count(),
    )?)
}

fn verify(
    inputs: &dyn InputReader,
    outputs: &dyn OutputReader,
    partitions: u32,
) -> anyhow::Result<Findings> {
    let settings = VerifySettings {
        // A load is not ahead of its clock by more.
        ahead_ms: 100,
        partitions,
        ..VerifySettings::at(now_ms())
    };
    let rows = tidemill_studio::verify(inputs, outputs, &settings)?;
    let commits = check_atomic(outputs)?;
    Ok(Findings { rows, commits })
}

impl Findings {
    fn are_good(&self) -> bool {
        self.rows.is_correct() && self.commits.is_correct()
    }

    /// Rows that are not as they must be.
    fn wrong_rows(&self) -> u64 {
        self.rows
            .sinks
            .iter()
            .map(|sink| sink.missing + sink.extra + sink.different + sink.disordered)
            .sum()
    }

    fn to_json(&self) -> Value {
        let Self { rows, commits } = self;
        let inputs = rows.inputs.iter().map(|(topic, counts)| {
            let counts = json!({
                "records": counts.records,
                "accepted": counts.accepted,
                "duplicates": counts.duplicates,
                "reads": counts.reads,
                "dead_letters": counts.dead,
            });
            (topic.name().to_owned(), counts)
        });
        let sinks = rows.sinks.iter().map(|sink| {
            let found = json!({
                "equal": sink.equal,
                "missing": sink.missing,
                "extra": sink.extra,
                "different": sink.different,
                "disordered": sink.disordered,
                "pending": sink.pending,
                "examples": sink.examples,
            });
            (sink.topic.to_owned(), found)
        });
        let overruns = rows.overruns.iter().map(|overrun| {
            json!({
                "production_id": overrun.production_id,
                "title": overrun.title,
                "variance": overrun.variance.to_string(),
            })
        });
        json!({
            "verified": self.are_good(),
            "rows_equal": rows.rows_equal(),
            "rows_wrong": self.wrong_rows(),
            "inputs": inputs.collect::<Map<_, _>>(),
            "dead_letters_by_reason": rows.dead_by_reason,
            "late": rows.late_rows,
            "sinks": sinks.collect::<Map<_, _>>(),
            "overruns": overruns.collect::<Vec<_>>(),
            "commits": {
                "epochs": commits.epochs,
                "totals_compared": commits.compared,
                "impossible": commits.violations,
                "examples": commits.examples,
            },
        })
    }
}
