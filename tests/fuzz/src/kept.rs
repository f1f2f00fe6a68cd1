//! What lies on disk and in the journal, read back: journal, manifests of checkpoints, the file of dead letters.
//!
//! What is read is written again and must read the same; and what is decided from it must be a decision.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use tidemill_checkpoints::recovery::{self, CheckpointFact};
use tidemill_checkpoints::{
    CheckpointStore, Claim, DeadLetterFile, Facts, FileEntry, Journal, Manifest, Record, SourceFact,
};
use tidemill_types::{DeadLetter, Epoch};

/// The plan that starts.
const PLAN: &str = "9f86d081";

thread_local! {
    /// A folder of each thread, which goes with it.
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// A folder for files, with nothing in it that matters.
fn folder() -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let made = folder
            .get_or_insert_with(|| tempfile::tempdir().expect("a temporary folder can be made"));
        made.path().to_owned()
    })
}

fn put(path: &Path, bytes: &[u8]) {
    let within = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(within).expect("the folder is ours");
    fs::write(path, bytes).expect("the folder is ours");
}

/// Entries of a journal, a line each; the last epoch may have a checkpoint.
pub fn journal(input: &[u8]) {
    let entries: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    let Ok(journal) = Journal::decode(&entries) else {
        return;
    };
    let written: Vec<_> = journal.records.iter().map(Record::encode).collect();
    let again = Journal::decode(&written).expect("what was written can be read");
    assert_eq!(journal.records, again.records, "a journal written again");
    let sources: Vec<_> = journal
        .records
        .iter()
        .flat_map(|record| record.positions.iter().take(4))
        .map(|(name, partitions)| SourceFact {
            name: name.clone(),
            incarnation: String::new(),
            goes_on: true,
            partitions: partitions.keys().copied().collect(),
        })
        .collect();
    for checkpoint in [None, journal.records.first().map(|first| first.epoch)] {
        let facts = Facts {
            plan_hash: PLAN,
            journal: &journal.records,
            checkpoint: checkpoint.map(|epoch| CheckpointFact {
                epoch,
                plan_hash: PLAN,
            }),
            sources: &sources,
        };
        let _ = format!("{:?}", recovery::decide(&facts));
    }
    if let Some(last) = journal.last() {
        let _ = recovery::opening_positions(&last.positions, &journal.records, &sources);
        let _ = recovery::newly_started(&last.started, &journal.records, &last.positions);
    }
}

/// A manifest, alone and in a folder of checkpoints; with the checksum that it should have, or with its own.
pub fn manifest(input: &[u8]) {
    let (json, has_own) = match input.split_first() {
        Some((first, rest)) => (rest, first % 2 == 1),
        None => return,
    };
    let bytes = if has_own { json.to_vec() } else { sealed(json) };
    let root = folder();
    let store = CheckpointStore::new(root.clone());
    let epoch = Epoch(7);
    put(&store.path_of(epoch).join("manifest.json"), &bytes);
    for summary in store.list().expect("the folder can be listed") {
        let _ = format!("{:?}", summary.manifest);
    }
    let _ = store.newest_valid(epoch).expect("the folder can be listed");
    let Ok(manifest) = Manifest::decode(&bytes) else {
        return;
    };
    let again = Manifest::decode(&manifest.encode());
    assert_eq!(Ok(&manifest), again.as_ref(), "a manifest written again");
    if manifest.workers < 64 {
        assert_eq!(store.worker_dirs(&manifest).len(), manifest.workers);
    }
}

/// A manifest's first line with its checksum.
fn sealed(json: &[u8]) -> Vec<u8> {
    let crc = crc32(json);
    [json, format!("\n{crc:08x}\n").as_bytes()].concat()
}

/// CRC-32 (IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(u32::MAX, byte)
}

/// The two files of dead letters, parted by a zero byte: read, added to, and read again.
pub fn dead_letters(input: &[u8]) {
    let root = folder();
    let at = input.iter().position(|&byte| byte == 0);
    let (newest, older) = input.split_at(at.unwrap_or(input.len()));
    put(&root.join(DeadLetterFile::NEWEST), newest);
    let older_path = root.join("dead-letters/older.jsonl");
    match older.get(1..) {
        Some(older) => put(&older_path, older),
        None => drop(fs::remove_file(&older_path)),
    }
    let mut file = DeadLetterFile::new(&root);
    let read = |file: &DeadLetterFile| {
        let mut kept = Vec::new();
        let missing = file
            .read(|letter| kept.push(letter))
            .expect("the files can be read");
        (kept, missing)
    };
    let (before, _) = read(&file);
    let letter = DeadLetter {
        reason: "added".to_owned(),
        ..DeadLetter::default()
    };
    // A file that ends in what is no letter may be refused; what is in it stays.
    let is_added = file.append(Epoch(9), [letter]).is_ok();
    drop(file);
    let (after, _) = read(&DeadLetterFile::new(&root));
    assert_eq!(
        after.len(),
        before.len() + usize::from(is_added),
        "letters stay, and one comes on top"
    );
    assert_eq!(before, after[..before.len()], "letters stay as they were");
}

/// Journals.
pub fn journal_seeds() -> Vec<Vec<u8>> {
    let record = |epoch: u64| {
        let mut record = Record::new(Epoch(epoch), "run-a".to_owned(), PLAN.to_owned(), 1_000);
        record.positions = [(
            "payments".to_owned(),
            [(0, 17), (10, 9_007_199_254_740_993)].into(),
        )]
        .into();
        record.incarnations = [("payments".to_owned(), "lJFyXNoGTuuYXCGsR3VXug".to_owned())].into();
        record.record_bytes_max = vec![None, Some(1 << 20)];
        record.time.idle = [("payments".to_owned(), vec![10])].into();
        record.encode()
    };
    let claim = Claim::new(Epoch(2), "run-b".to_owned()).encode();
    let whole = [record(1), record(2), claim.clone(), record(3)].join(&b'\n');
    vec![record(1), claim, whole, [record(5), record(4)].join(&b'\n')]
}

/// Manifests, without and with their checksum.
pub fn manifest_seeds() -> Vec<Vec<u8>> {
    let mut manifest = Manifest {
        version: tidemill_checkpoints::manifest::VERSION,
        job: "finance".to_owned(),
        epoch: Epoch(7),
        owner: "run-a".to_owned(),
        plan_hash: PLAN.to_owned(),
        plan_text: "source payment".to_owned(),
        workers: 2,
        clock_ms: 1_000,
        time: tidemill_checkpoints::DataTimes::default(),
        created_ms: 2_000,
        positions: [("payments".to_owned(), [(0, 17)].into())].into(),
        incarnations: [("payments".to_owned(), String::new())].into(),
        files: Vec::new(),
        state_bytes: 0,
    };
    let empty = manifest.encode();
    manifest.files = vec![FileEntry {
        path: "worker-0/000012.sst".to_owned(),
        bytes: 4096,
        crc32: 1,
    }];
    let json = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        bytes[..end.unwrap_or(bytes.len())].to_vec()
    };
    vec![
        [vec![0], json(&empty)].concat(),
        [vec![0], json(&manifest.encode())].concat(),
        [vec![1], manifest.encode()].concat(),
    ]
}

/// Files of dead letters.
pub fn dead_letters_seeds() -> Vec<Vec<u8>> {
    let line = |number: u32| {
        format!(
            r#"{{"number":{number},"epoch":3,"plan":"{PLAN}","stage":"decode","source":"orders","topic":"shop.orders","partition":1,"offset":7,"reason":"invalid JSON at byte 0","timestamp":null,"key":"NDI=","headers":"[[\"a\",\"Yg==\"]]","bytes":null,"truncated":false}}"#
        ) + "\n"
    };
    vec![
        line(1).into_bytes(),
        [line(4), line(5), line(6)[..40].to_owned()]
            .concat()
            .into_bytes(),
        [
            line(3).as_bytes(),
            b"\0",
            line(1).as_bytes(),
            line(2).as_bytes(),
        ]
        .concat(),
    ]
}
