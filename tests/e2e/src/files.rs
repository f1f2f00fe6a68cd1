//! Folders of topics: input is appended to them, what a job committed is read back.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidemill_connectors_files::read_committed;

/// Appends bytes to a partition; they need not be whole lines. The partition exists afterwards, even if there are no bytes.
pub fn append(data: &Path, topic: &str, partition: u32, bytes: &[u8]) {
    let folder = data.join(topic);
    fs::create_dir_all(&folder).unwrap();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(format!("{partition}.jsonl")));
    file.unwrap().write_all(bytes).unwrap();
}

/// The partitions of a topic and their bytes.
pub fn partitions(topic: &Path) -> Vec<(u32, Vec<u8>)> {
    let mut partitions: Vec<(u32, Vec<u8>)> = fs::read_dir(topic)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .map(|path| {
            let number = path.file_stem().unwrap().to_str().unwrap().parse();
            (number.unwrap(), fs::read(&path).unwrap())
        })
        .collect();
    partitions.sort_unstable();
    partitions
}

/// Names of the entries of a folder, sorted; none if it does not exist.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// The last epoch that is committed below `data`; 0 for none.
pub fn committed_epoch(data: &Path) -> u64 {
    last_commit(data).map_or(0, |commit| commit["epochs"][1].as_u64().unwrap())
}

/// How many bytes of input are committed below `data`.
pub fn committed_bytes(data: &Path) -> u64 {
    let Some(record) = last_record(data) else {
        return 0;
    };
    let sources = record["positions"].as_object().unwrap().values();
    let positions = sources.flat_map(|source| source.as_object().unwrap().values());
    positions.map(|position| position.as_u64().unwrap()).sum()
}

/// The last journal record below `data`.
pub fn last_record(data: &Path) -> Option<Value> {
    let commit = last_commit(data)?;
    let record = commit["journal"].as_array().unwrap().last().unwrap();
    Some(serde_json::from_str(record.as_str().unwrap()).unwrap())
}

fn last_commit(data: &Path) -> Option<Value> {
    let log = fs::read_to_string(data.join("_committed")).ok()?;
    // A last line without its line feed is being written.
    let whole = &log[..log.rfind('\n')?];
    let commit = |line: &str| serde_json::from_str::<Value>(line.get(9..)?).ok();
    let mut commits = whole.lines().rev().filter_map(commit);
    commits.find(|commit| !commit["epochs"].is_null())
}

/// The finished checkpoints of a state directory, oldest first.
pub fn checkpoints(state: &Path) -> Vec<PathBuf> {
    let folder = state.join("checkpoints");
    let finished = names(&folder)
        .into_iter()
        .filter(|name| !name.starts_with('.'));
    finished.map(|name| folder.join(name)).collect()
}

/// A committed record: key and value as JSON text; no value is a tombstone.
pub type Record = (String, Option<String>);

/// What a job committed to a topic, partition by partition, in the order in which it was written.
pub fn records(data: &Path, topic: &str) -> Vec<Record> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    read_committed(data, topic, |record| {
        records.push((text(record.key), record.value.map(text)));
    })
    .unwrap();
    records
}

/// What a job committed to a topic of appended rows, parsed.
pub fn rows(data: &Path, topic: &str) -> Vec<Value> {
    let values = records(data, topic)
        .into_iter()
        .filter_map(|(_, value)| value);
    values
        .map(|value| serde_json::from_str(&value).unwrap())
        .collect()
}
