//! Where a job's dead letters are: in what its sinks of `tidemill_dead_letters` wrote, in its state directory, or in a file that was exported.
//!
//! Promises: the oldest come first (of a topic with partitions, by what is read first), and a letter that is kept twice, since a crash had its
//! epoch done again, comes once. Memory holds a place per letter, and one letter at a time.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidemill_checkpoints::{DeadLetterFile, Missing};
use tidemill_jobs::plan::{JobPlan, NodeId, NodeOp, SinkPlan};
use tidemill_terminal::Failure;
use tidemill_types::DeadLetter;
use tidemill_types::dead_letter::ledger_schema;

use super::{Position, topic};

/// Where letters are read from.
pub enum Place {
    /// Sinks of the job, by their place in the plan.
    Sinks(Vec<SinkPlan>),
    /// A state directory.
    State(PathBuf),
    /// JSON lines.
    File(PathBuf),
}

/// A letter as it is exported: what is text stands there as text, so that it can be mended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exported {
    #[serde(flatten)]
    letter: DeadLetter,
    /// The key in place of `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_text: Option<String>,
    /// The value in place of `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Exported {
    /// A letter with its key and value as text where they are.
    pub fn of(mut letter: DeadLetter) -> Self {
        let mut take = |part: fn(&mut DeadLetter) -> &mut Option<Vec<u8>>| {
            let text = String::from_utf8(part(&mut letter).take()?);
            text.map_err(|error| *part(&mut letter) = Some(error.into_bytes()))
                .ok()
        };
        let key_text = take(|letter| &mut letter.key);
        let text = take(|letter| &mut letter.bytes);
        Self {
            letter,
            key_text,
            text,
        }
    }

    /// The letter.
    pub fn into_letter(self) -> DeadLetter {
        let Self {
            mut letter,
            key_text,
            text,
        } = self;
        letter.key = key_text.map(String::into_bytes).or(letter.key);
        letter.bytes = text.map(String::into_bytes).or(letter.bytes);
        letter
    }
}

/// A line as the connector `files` writes it.
#[derive(Deserialize)]
struct FilesLine {
    value: DeadLetter,
}

impl Place {
    /// Where a job writes its dead letters.
    pub fn of(plan: &JobPlan, state_dir: PathBuf) -> Result<Self, Failure> {
        let sinks = plan.sinks.iter();
        let of_letters = sinks.filter(|sink| reads_dead_letters(plan, sink.input));
        let (whole, parts): (Vec<_>, Vec<_>) = of_letters.partition(|sink| is_whole(plan, sink));
        if !whole.is_empty() {
            return Ok(Self::Sinks(whole.into_iter().cloned().collect()));
        }
        let Some(part) = parts.first() else {
            return Ok(Self::State(state_dir));
        };
        Err(Failure::invalid(format!(
            "sink '{}' has not all that dead letters are, as JSON: let it be 'SELECT * FROM tidemill_dead_letters' with format = 'json' and \
             envelope = 'plain', or look at what is too large for it with --in-state",
            part.name
        )))
    }

    /// Calls `on_letter` for every letter.
    pub fn read(
        &self,
        plan: &JobPlan,
        on_letter: &mut dyn FnMut(DeadLetter) -> anyhow::Result<()>,
    ) -> anyhow::Result<Missing> {
        let mut seen = HashSet::new();
        let mut once = |letter: DeadLetter| {
            let has_place = letter.offset >= 0;
            let known = (letter.stage, letter.source.clone(), Position::of(&letter));
            if has_place && !seen.insert(known) {
                return Ok(());
            }
            on_letter(letter)
        };
        match self {
            Self::State(root) => read_state(root, &mut once),
            Self::File(path) => read_file(path, &mut once),
            Self::Sinks(sinks) => {
                let mut missing = Missing::default();
                for sink in sinks {
                    topic::read(&plan.name, sink, &mut |value| match row(value) {
                        Some(letter) => once(letter),
                        None => {
                            missing.unreadable += 1;
                            Ok(())
                        }
                    })?;
                }
                Ok(missing)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(root) => write!(f, "'{}'", root.join(DeadLetterFile::NEWEST).display()),
            Self::File(path) => write!(f, "'{}'", path.display()),
            Self::Sinks(sinks) => {
                let topics: Vec<_> = sinks.iter().map(|sink| sink.target.as_str()).collect();
                write!(f, "topic '{}'", topics.join("', '"))
            }
        }
    }
}

/// True if rows are the dead letters themselves, all or some of them.
fn reads_dead_letters(plan: &JobPlan, node: NodeId) -> bool {
    match &plan.nodes[node].op {
        NodeOp::DeadLetters(_) => true,
        NodeOp::Filter(stage) => reads_dead_letters(plan, stage.input),
        NodeOp::Project(stage) => reads_dead_letters(plan, stage.input),
        _ => false,
    }
}

/// True if the sink writes all that letters are, so that it can be read back.
fn is_whole(plan: &JobPlan, sink: &SinkPlan) -> bool {
    let schema = &plan.nodes[sink.input].schema;
    let is_there = |field: &std::sync::Arc<arrow_schema::Field>| {
        let found = schema.field_with_name(field.name());
        found.is_ok_and(|found| found.data_type() == field.data_type())
    };
    let format = &sink.format;
    (format.name == "json" && format.envelope == "plain")
        && ledger_schema().fields().iter().all(is_there)
}

fn row(value: &[u8]) -> Option<DeadLetter> {
    let bare = serde_json::from_slice::<DeadLetter>(value).ok();
    bare.or_else(|| Some(serde_json::from_slice::<FilesLine>(value).ok()?.value))
}

fn read_state(
    root: &Path,
    on_letter: &mut dyn FnMut(DeadLetter) -> anyhow::Result<()>,
) -> anyhow::Result<Missing> {
    if !root.is_dir() {
        return Err(Failure::invalid(format!(
            "'{}' is no folder; name the --state-dir that the job runs with",
            root.display()
        ))
        .into());
    }
    let mut outcome = Ok(());
    let missing = DeadLetterFile::new(root).read(|kept| {
        if outcome.is_ok() {
            outcome = on_letter(kept.letter);
        }
    })?;
    outcome.map(|()| missing)
}

fn read_file(
    path: &Path,
    on_letter: &mut dyn FnMut(DeadLetter) -> anyhow::Result<()>,
) -> anyhow::Result<Missing> {
    let failed = |error: std::io::Error| {
        let path = path.display();
        Failure::invalid(format!(
            "cannot read '{path}': {error}; name a file that 'tidemill dead-letters export' wrote"
        ))
    };
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        if lines.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(Missing::default());
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        // What somebody edited is refused with its line, rather than passed over.
        let letter: Exported = serde_json::from_slice(&line).map_err(|error| {
            let path = path.display();
            Failure::invalid(format!(
                "'{path}', line {number} is no dead letter: {error}; mend the line"
            ))
        })?;
        on_letter(letter.into_letter())?;
    }
}

#[cfg(test)]
mod tests {
    use tidemill_types::DeadLetter;

    use super::{Exported, row};

    fn letter(key: Option<&[u8]>, bytes: Option<&[u8]>) -> DeadLetter {
        DeadLetter {
            topic: "t".to_owned(),
            key: key.map(<[u8]>::to_vec),
            bytes: bytes.map(<[u8]>::to_vec),
            ..DeadLetter::default()
        }
    }

    #[test]
    fn a_letter_comes_back_from_its_export_and_text_stands_there_as_text() {
        let parts: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"text"), Some(b"\xff")];
        for key in parts {
            for bytes in parts {
                let letter = letter(key, bytes);
                let line = serde_json::to_string(&Exported::of(letter.clone())).unwrap();
                let back: Exported = serde_json::from_str(&line).unwrap();
                assert_eq!(back.into_letter(), letter, "{line}");
                assert_eq!(
                    line.contains(r#""text":"text""#),
                    bytes == Some(b"text"),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn a_row_is_read_from_the_value_of_a_record_and_from_a_line_of_a_file() {
        let letter = letter(Some(b"k"), None);
        let value = serde_json::to_string(&letter).unwrap();
        assert_eq!(row(value.as_bytes()).as_ref(), Some(&letter));
        let line = format!(r#"{{"epoch":7,"key":null,"value":{value}}}"#);
        assert_eq!(row(line.as_bytes()), Some(letter));
        assert_eq!(row(b"{}"), None);
    }
}
