//! `tidemill dead-letters`: what a job could not use, and putting it back.
//!
//! Where the letters are is [`place`]'s business, whether one may be put back [`verdict`]'s; each command is a file.

mod export;
mod list;
mod place;
mod replay;
mod show;
mod topic;
mod verdict;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidemill_terminal::Failure;
use tidemill_terminal::environment::now_ms;
use tidemill_types::DeadLetter;

use crate::job::{Job, JobArguments};
use crate::parse;
use place::Place;

const EXAMPLES: &str = "\
Examples:
  tidemill dead-letters list JOB.sql
  tidemill dead-letters show JOB.sql shop.orders/0/17
  tidemill dead-letters export JOB.sql --source order_events > letters.jsonl
  tidemill dead-letters replay JOB.sql --from letters.jsonl      # after the records in it were mended by hand
  tidemill dead-letters replay JOB.sql --dry-run                 # what would be put back, and what not, and why

They are read from the job's sink of 'tidemill_dead_letters' where it has one, else from its state directory. The job may run meanwhile.
A record is put back into the topic that it came from, once, however often this is run: docs/operate/dead-letters.md.";

/// Look at what a job could not use, and put it back after a mend.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// What there is, by stage, source and cause.
    List {
        #[command(flatten)]
        from: From,
        #[command(flatten)]
        filter: Filter,
        /// Write one JSON object instead.
        #[arg(long)]
        json: bool,
    },
    /// One letter: its reason, key, headers and value.
    Show {
        #[command(flatten)]
        from: From,
        /// Where its record was read: TOPIC/PARTITION/OFFSET.
        place: Position,
        /// Write the letter as JSON instead, a line each if several sources refused it.
        #[arg(long)]
        json: bool,
    },
    /// Write letters as JSON lines, to be looked at or mended, or their records' values.
    Export(export::Export),
    /// Put records back into the topics that they were read from, each once.
    Replay(replay::Replay),
}

/// Whose letters, and where they are.
#[derive(Debug, Args)]
struct From {
    #[command(flatten)]
    job: JobArguments,
    /// The state directory of the job; default: as 'run' has it.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Read the state directory even if the job has a sink of them: there what was too large for a sink is whole.
    #[arg(long)]
    in_state: bool,
    /// Read a file that 'export' wrote.
    #[arg(long, value_name = "FILE", conflicts_with = "in_state")]
    from: Option<PathBuf>,
}

impl From {
    fn open(&self) -> anyhow::Result<(Job, Place)> {
        let job = self.job.load(self.state_dir.as_deref())?;
        let state_dir = job.state_dir.clone();
        let place = match &self.from {
            Some(file) => Place::File(file.clone()),
            None if self.in_state => Place::State(state_dir),
            None => Place::of(&job.plan, state_dir)?,
        };
        Ok((job, place))
    }
}

/// Which letters.
#[derive(Debug, Args, Default)]
struct Filter {
    /// Only those of a source (or a later stage) of this name.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those whose reason has this text in it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those whose records were written within this time, such as '2 h'; of files no such time is known.
    #[arg(long, value_name = "TIME", value_parser = parse::milliseconds)]
    since: Option<u64>,
}

impl Filter {
    fn takes(&self, letter: &DeadLetter) -> bool {
        let is_source = |name: &String| *name == letter.source;
        let in_reason = |text: &String| letter.reason.contains(text.as_str());
        let is_young = |&within_ms: &u64| {
            let oldest = now_ms().saturating_sub_unsigned(within_ms);
            letter.timestamp_ms.is_some_and(|time| time >= oldest)
        };
        self.source.as_ref().is_none_or(is_source)
            && self.reason.as_ref().is_none_or(in_reason)
            && self.since.as_ref().is_none_or(is_young)
    }
}

/// Where a record was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Position {
    topic: String,
    partition: u32,
    offset: i64,
}

impl Position {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            topic: letter.topic.clone(),
            partition: letter.partition,
            offset: letter.offset,
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl std::str::FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no TOPIC/PARTITION/OFFSET, such as 'shop.orders/0/17'");
        let mut parts = text.rsplitn(3, '/');
        let mut part = || {
            parts
                .next()
                .filter(|part| !part.is_empty())
                .ok_or_else(wrong)
        };
        let (offset, partition, topic) = (part()?, part()?, part()?);
        Ok(Self {
            topic: topic.to_owned(),
            partition: partition.parse().map_err(|_| wrong())?,
            offset: offset.parse().map_err(|_| wrong())?,
        })
    }
}

impl Arguments {
    /// Does what is asked.
    pub fn execute(&self) -> anyhow::Result<()> {
        match &self.action {
            Action::List { from, filter, json } => {
                let (job, place) = from.open()?;
                list::list(&job, &place, filter, *json)
            }
            Action::Show { from, place, json } => {
                let (job, letters) = from.open()?;
                show::show(&job, &letters, place, *json)
            }
            Action::Export(export) => export.execute(),
            Action::Replay(replay) => replay.execute(),
        }
    }
}

fn no_letter(position: &Position, place: &Place) -> Failure {
    Failure::invalid(format!(
        "there is no dead letter '{position}' in {place}; 'tidemill dead-letters list' shows what there is"
    ))
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn a_position_is_read_as_it_is_shown() {
        let position: Position = "a/b.c/3/17".parse().expect("is one");
        assert_eq!(
            (position.topic.as_str(), position.partition, position.offset),
            ("a/b.c", 3, 17)
        );
        assert_eq!(position.to_string(), "a/b.c/3/17");
        for wrong in ["", "17", "0/17", "/0/17", "t/x/17", "t/0/", "t/-1/3"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
