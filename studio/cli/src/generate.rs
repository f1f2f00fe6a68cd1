//! `tidemill-studio generate`: events to try a job on.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tidemill_studio::generator::{Pace, Unpaced, WallClock, parse_share};
use tidemill_studio::{EventSink, FilesSink, Generator, Settings, Summary, Topic};
use tidemill_terminal::Failure;
use tidemill_terminal::environment::now_ms;
use tidemill_terminal::show::{self, GOOD, HEADING, bytes, counted, duration, grouped, per_second};

use crate::kafka::KafkaSink;

const EXAMPLES: &str = "\
Examples:
  tidemill-studio generate --events 300000 --seed 1 --into files --path /tmp/studio
  tidemill-studio generate --into kafka --bootstrap 127.0.0.1:9092 --slate movies.json      # real film titles
  tidemill-studio generate --into kafka --events 60000 --rate 1000                          # live: a minute, 1000 a second
  tidemill-studio generate --into files --path DIR --duplicates 20% --garbage 0%

The same settings give the same records on every machine, at any number of threads (a live run begins now, so its times differ).";

/// A kind of system that events can lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// A folder per topic, a file per partition, a line per record.
    Files,
    /// Topics.
    Kafka,
}

/// Generate a studio's events: productions, talents, schedules, budgets, payments, cash flow; some twice, late, out of order or broken.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Records in all, duplicates and garbage included.
    #[arg(long, value_name = "N", default_value_t = Settings::default().events)]
    events: u64,
    /// Everything follows from it.
    #[arg(long, value_name = "S", default_value_t = Settings::default().seed)]
    seed: u64,
    /// Where the events go; topics in Kafka that exist are appended to, files are not.
    #[arg(long)]
    into: System,
    /// With files: the folder of topics.
    #[arg(long, value_name = "DIR", required_if_eq("into", "files"))]
    path: Option<PathBuf>,
    /// With Kafka: the brokers.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap: String,
    /// Partitions of each topic.
    #[arg(long, value_name = "N", default_value_t = Settings::default().partitions)]
    partitions: u32,
    /// Share of records that repeat an earlier one byte for byte.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share("duplicates"))]
    duplicates: f64,
    /// Share of records that arrive later than their time says.
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share("disorder"))]
    disorder: f64,
    /// Share of records that cannot be decoded.
    #[arg(long, value_name = "SHARE", default_value = "0.1%", value_parser = share("garbage"))]
    garbage: f64,
    /// Share of events that update what there is.
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = share("updates"))]
    updates: f64,
    /// Share of events that delete it.
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share("deletes"))]
    deletes: f64,
    /// Live: so many events a second, beginning now; default: as fast as possible.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// A JSON array of films (movies.json of vega-datasets): each becomes a production, warts and all.
    #[arg(long, value_name = "FILE")]
    slate: Option<PathBuf>,
    /// Threads that generate; changes nothing in the output. Default: one per processor.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Write one JSON object about what was written.
    #[arg(long)]
    json: bool,
}

fn share(
    setting: &'static str,
) -> impl Fn(&str) -> Result<f64, tidemill_studio::Error> + Clone + Send + Sync + 'static {
    move |text| parse_share(setting, text)
}

impl Arguments {
    /// Generates.
    pub fn execute(&self) -> anyhow::Result<()> {
        let generator = Generator::new(&self.settings()?)?;
        let mut sink = self.sink()?;
        let mut pace: Box<dyn Pace> = if self.rate.is_some() {
            Box::new(WallClock)
        } else {
            Box::new(Unpaced)
        };
        let started = Instant::now();
        let summary = generator.run(sink.as_mut(), pace.as_mut())?;
        let took = started.elapsed();
        let mut out = show::stdout();
        if self.json {
            writeln!(out, "{}", summary_json(&summary, took))?;
        } else {
            self.print(&mut out, &summary, took)?;
        }
        Ok(())
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let default = Settings::default();
        let slate = self.slate.as_ref().map(|path| {
            let shown = path.display();
            std::fs::read_to_string(path).map_err(|error| {
                Failure::invalid(format!(
                    "cannot read '{shown}': {error}; leave --slate away, or name a file"
                ))
            })
        });
        Ok(Settings {
            events: self.events,
            seed: self.seed,
            duplicates: self.duplicates,
            disorder: self.disorder,
            garbage: self.garbage,
            updates: self.updates,
            deletes: self.deletes,
            partitions: self.partitions,
            start_ms: if self.rate.is_some() {
                now_ms()
            } else {
                default.start_ms
            },
            rate: self.rate,
            slate: slate.transpose()?,
            threads: self.threads.unwrap_or(default.threads),
            ..default
        })
    }

    fn sink(&self) -> anyhow::Result<Box<dyn EventSink>> {
        match self.into {
            System::Files => {
                let path = self
                    .path
                    .as_ref()
                    .context("--into files needs --path DIR")?;
                Ok(Box::new(FilesSink::create(path, self.partitions)?))
            }
            System::Kafka => Ok(Box::new(KafkaSink::create(
                &self.bootstrap,
                self.partitions,
            )?)),
        }
    }

    fn print(&self, out: &mut dyn Write, summary: &Summary, took: Duration) -> std::io::Result<()> {
        let place = match (self.into, &self.path) {
            (System::Files, Some(path)) => format!("files below '{}'", path.display()),
            _ => format!("kafka at {}", self.bootstrap),
        };
        writeln!(
            out,
            "{GOOD}{}{GOOD:#} ({}) into {place} in {} ({}/s)",
            counted(summary.records, "event"),
            bytes(summary.bytes),
            duration(took),
            grouped(per_second(summary.records, took)),
        )?;
        writeln!(
            out,
            "{HEADING}  {:<20} {:>12}{HEADING:#}",
            "topic", "records"
        )?;
        for topic in Topic::ALL {
            writeln!(
                out,
                "  {:<20} {:>12}",
                topic.name(),
                grouped(summary.by_topic[topic.index()])
            )?;
        }
        writeln!(
            out,
            "{HEADING}  {:<20} {:>12}{HEADING:#}",
            "kind", "records"
        )?;
        for (kind, count) in kinds(summary) {
            writeln!(out, "  {kind:<20} {:>12}", grouped(count))?;
        }
        writeln!(
            out,
            "  {} of the events arrive later than their time says",
            grouped(summary.displaced)
        )
    }
}

/// Every record is of one kind.
fn kinds(summary: &Summary) -> [(&'static str, u64); 6] {
    [
        ("create", summary.creates),
        ("update", summary.updates),
        ("delete", summary.deletes),
        ("read", summary.reads),
        ("duplicate", summary.duplicates),
        ("garbage", summary.garbage.values().sum()),
    ]
}

fn summary_json(summary: &Summary, took: Duration) -> Value {
    let topics: Map<_, _> = Topic::ALL
        .iter()
        .map(|topic| {
            (
                topic.name().to_owned(),
                summary.by_topic[topic.index()].into(),
            )
        })
        .collect();
    let kinds: Map<_, _> = kinds(summary)
        .into_iter()
        .map(|(kind, count)| (kind.to_owned(), count.into()))
        .collect();
    let garbage: Map<_, _> = summary
        .garbage
        .iter()
        .map(|(garbage, count)| (format!("{garbage:?}"), (*count).into()))
        .collect();
    json!({
        "records": summary.records,
        "bytes": summary.bytes,
        "events_per_s": per_second(summary.records, took),
        "topics": topics,
        "kinds": kinds,
        "garbage": garbage,
        "displaced": summary.displaced,
    })
}
