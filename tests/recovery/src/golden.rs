//! The golden jobs as jobs of a simulated world.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidemill_tests_kit::sim::history::Committed;
use tidemill_tests_kit::sim::scenario::{Fed, Job, Topic};

/// A golden job: what it is, and what it must come to.
pub struct Golden {
    /// The job.
    pub job: Job,
    /// By topic, the rows that stand at the end.
    pub expected: BTreeMap<String, Vec<String>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/jobs")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder of a golden job is there");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it can be listed").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Names of all golden jobs.
#[must_use]
pub fn all() -> Vec<String> {
    names(&folder())
}

/// A golden job by its name.
///
/// # Panics
/// If it is not there, or not as golden jobs are.
#[must_use]
pub fn load(name: &str) -> Golden {
    let folder = folder().join(name);
    let sql = fs::read_to_string(folder.join("job.sql")).expect("a golden job has a job.sql");
    let sql = sql.replace(
        "connector = 'files', path = '${TIDEMILL_DATA}'",
        "connector = 'sim'",
    );
    let stages = ["input", "later"].map(|stage| folder.join(stage));
    let stages = stages
        .iter()
        .filter(|stage| stage.is_dir())
        .map(|stage| topics(stage));
    Golden {
        job: Job {
            name: name.to_owned(),
            sql,
            histories: Vec::new(),
            stages: stages.collect(),
        },
        expected: expected(&folder.join("expected")),
    }
}

fn topics(stage: &Path) -> Vec<Topic> {
    let topic = |name: String| {
        let folder = stage.join(&name);
        let partitions = names(&folder).into_iter().map(|file| {
            let text = fs::read(folder.join(file)).expect("a partition can be read");
            let lines = text.split_inclusive(|&byte| byte == b'\n');
            lines
                .map(|line| Fed::of(line.strip_suffix(b"\n").unwrap_or(line).to_vec()))
                .collect()
        });
        Topic {
            partitions: partitions.collect(),
            name,
        }
    };
    names(stage).into_iter().map(topic).collect()
}

fn expected(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let rows = |file: String| {
        let text = fs::read_to_string(folder.join(&file)).expect("an expected output can be read");
        let topic = file
            .strip_suffix(".jsonl")
            .expect("an expected output is '.jsonl'")
            .to_owned();
        (
            topic,
            sorted(text.lines().map(|row| comparable(row.as_bytes())).collect()),
        )
    };
    names(folder).into_iter().map(rows).collect()
}

/// A row without what depends on where a record lies: a file has other offsets than a log.
fn comparable(row: &[u8]) -> String {
    let mut row: Value = serde_json::from_slice(row).expect("a row is JSON");
    if let Value::Object(members) = &mut row {
        members.remove("offset");
    }
    row.to_string()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

impl Golden {
    /// Compares what was committed with what was expected.
    ///
    /// # Errors
    /// The first topic that differs.
    pub fn check(
        &self,
        history: &[Committed],
        upserts: &BTreeMap<String, bool>,
    ) -> Result<(), String> {
        for (topic, is_upsert) in upserts {
            let writes = history
                .iter()
                .flat_map(|epoch| epoch.writes.get(topic).into_iter().flatten());
            let found = if *is_upsert {
                let mut standing = BTreeMap::new();
                for write in writes {
                    standing.insert(&write.key, &write.value);
                }
                standing
                    .into_values()
                    .flatten()
                    .map(|value| comparable(value))
                    .collect()
            } else {
                let values = writes.filter_map(|write| write.value.as_deref());
                values.map(comparable).collect()
            };
            let (found, expected) = (
                sorted(found),
                self.expected.get(topic).cloned().unwrap_or_default(),
            );
            if found != expected {
                let lost: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
                let wrong: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
                return Err(format!(
                    "topic '{topic}' has {} rows of {} expected; missing: {lost:#?}; not expected: {wrong:#?}",
                    found.len(),
                    expected.len()
                ));
            }
        }
        Ok(())
    }
}
