//! `tidemill checkpoints`: what a state directory holds.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidemill_checkpoints::{CheckpointStore, Manifest, Summary};
use tidemill_connectors_api::seam;
use tidemill_terminal::Failure;
use tidemill_terminal::environment::now_ms;
use tidemill_terminal::show::{self, BAD, GOOD, HEADING, bytes, counted, duration, grouped};
use tidemill_types::{Epoch, ErrorKind};

const EXAMPLES: &str = "\
Examples:
  tidemill checkpoints list --state-dir DIR
  tidemill checkpoints show --state-dir DIR           # the newest
  tidemill checkpoints show 1100 --state-dir DIR      # that of epoch 1100; reads every file, and ends with 4 if one is damaged

A damaged checkpoint needs nothing done: the next start passes it over and uses the one before.";

/// Look at the checkpoints of a job; a job may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One line per checkpoint, damaged ones with the reason; files are not read, only their sizes compared.
    List(Place),
    /// One checkpoint with its positions and files; verifies every checksum.
    Show {
        /// Its epoch; default: the newest.
        epoch: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// The state directory of the job.
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Write JSON instead.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Lists or shows.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.action {
            Action::List(place) => place.list(),
            Action::Show { epoch, place } => place.show(epoch.map(Epoch)),
        }
    }
}

impl Place {
    fn checkpoints(&self) -> anyhow::Result<(CheckpointStore, Vec<Summary>)> {
        if !self.state_dir.is_dir() {
            let message = format!(
                "'{}' is no folder; name the --state-dir that the job runs with",
                self.state_dir.display()
            );
            return Err(Failure::invalid(message).into());
        }
        let store = CheckpointStore::new(self.state_dir.clone());
        let summaries = store.list()?;
        Ok((store, summaries))
    }

    fn list(&self) -> anyhow::Result<()> {
        let (_, summaries) = self.checkpoints()?;
        let mut out = show::stdout();
        if self.json {
            writeln!(
                out,
                "{}",
                Value::Array(summaries.iter().map(summary_json).collect())
            )?;
            return Ok(());
        }
        if summaries.is_empty() {
            writeln!(out, "no checkpoints in '{}'", self.state_dir.display())?;
            return Ok(());
        }
        writeln!(
            out,
            "{HEADING}{:>12}  {:<24}  {:>12}  {:>10}  {:>6}{HEADING:#}",
            "epoch", "created", "age", "size", "files"
        )?;
        let now_ms = now_ms();
        for Summary { epoch, manifest } in &summaries {
            let epoch = grouped(epoch);
            match manifest {
                Ok(manifest) => writeln!(
                    out,
                    "{epoch:>12}  {:<24}  {:>12}  {:>10}  {:>6}  {GOOD}valid{GOOD:#}",
                    time(manifest.created_ms),
                    age(manifest.created_ms, now_ms),
                    bytes(manifest.state_bytes),
                    manifest.files.len(),
                ),
                Err(reason) => writeln!(out, "{epoch:>12}  {BAD}damaged{BAD:#}: {reason}"),
            }?;
        }
        Ok(())
    }

    fn show(&self, epoch: Option<Epoch>) -> anyhow::Result<()> {
        let (store, summaries) = self.checkpoints()?;
        let Some(epoch) = epoch.or_else(|| summaries.last().map(|summary| summary.epoch)) else {
            return Err(Failure::invalid(format!(
                "no checkpoints in '{}'",
                self.state_dir.display()
            ))
            .into());
        };
        let Some(summary) = summaries.into_iter().find(|summary| summary.epoch == epoch) else {
            let message = format!(
                "no checkpoint of epoch {epoch}; 'tidemill checkpoints list' shows those that there are"
            );
            return Err(Failure::invalid(message).into());
        };
        let damaged = verify(&store, epoch)?;
        let mut out = show::stdout();
        match (&summary.manifest, self.json) {
            (_, true) => writeln!(out, "{}", manifest_json(&summary, damaged.as_deref()))?,
            (Ok(manifest), false) => print_manifest(&mut out, manifest, damaged.is_none())?,
            (Err(_), false) => {}
        }
        match damaged {
            Some(reason) => Err(Failure::new(
                ErrorKind::Corrupt,
                format!("the checkpoint of epoch {epoch} is damaged: {reason}"),
            )
            .into()),
            None => Ok(()),
        }
    }
}

/// Why the checkpoint of the epoch cannot be used, if so. Reads every file.
fn verify(store: &CheckpointStore, epoch: Epoch) -> anyhow::Result<Option<String>> {
    let (_, rejected) = store.newest_valid(epoch)?;
    Ok(rejected
        .into_iter()
        .find(|rejected| rejected.epoch == epoch)
        .map(|rejected| rejected.reason))
}

fn print_manifest(out: &mut dyn Write, manifest: &Manifest, valid: bool) -> io::Result<()> {
    let Manifest {
        job,
        epoch,
        plan_hash,
        workers,
        created_ms,
        clock_ms,
        positions,
        incarnations,
        files,
        state_bytes,
        ..
    } = manifest;
    let verdict = if valid {
        format!("{GOOD}valid{GOOD:#}, every checksum matches")
    } else {
        format!("{BAD}damaged{BAD:#}")
    };
    writeln!(
        out,
        "{HEADING}checkpoint of epoch {} of job '{job}'{HEADING:#}: {verdict}",
        grouped(epoch)
    )?;
    writeln!(
        out,
        "created    {} ({} ago)",
        time(*created_ms),
        age(*created_ms, now_ms())
    )?;
    writeln!(out, "clock      {}", time(*clock_ms))?;
    writeln!(out, "plan       {plan_hash}")?;
    writeln!(out, "workers    {workers}")?;
    writeln!(
        out,
        "size       {} in {}",
        bytes(*state_bytes),
        counted(files.len() as u64, "file")
    )?;
    writeln!(
        out,
        "\n{HEADING}positions{HEADING:#}, the offset to read next by partition"
    )?;
    for (source, partitions) in positions {
        let shown = |number: u32| {
            let incarnation = incarnations.get(source);
            let place = incarnation.and_then(|of| seam::place(of, number));
            place.map_or_else(|| number.to_string(), |place| place.to_string())
        };
        let offsets: Vec<_> = partitions
            .iter()
            .map(|(&number, offset)| format!("{}: {}", shown(number), grouped(offset)))
            .collect();
        writeln!(out, "  {source:<24}  {}", offsets.join("  "))?;
    }
    writeln!(out, "\n{HEADING}files{HEADING:#}, with size and CRC-32")?;
    for file in files {
        writeln!(
            out,
            "  {:<40}  {:>10}  {:08x}",
            file.path,
            bytes(file.bytes),
            file.crc32
        )?;
    }
    Ok(())
}

fn summary_json(Summary { epoch, manifest }: &Summary) -> Value {
    match manifest {
        Ok(manifest) => json!({
            "epoch": epoch,
            "valid": true,
            "created_ms": manifest.created_ms,
            "state_bytes": manifest.state_bytes,
            "files": manifest.files.len(),
        }),
        Err(reason) => json!({ "epoch": epoch, "valid": false, "reason": reason }),
    }
}

fn manifest_json(Summary { epoch, manifest }: &Summary, damaged: Option<&str>) -> Value {
    json!({ "epoch": epoch, "valid": damaged.is_none(), "reason": damaged, "manifest": manifest.as_ref().ok() })
}

fn time(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

fn age(ms: i64, now_ms: i64) -> String {
    duration(Duration::from_millis(
        u64::try_from(now_ms - ms).unwrap_or(0),
    ))
}
