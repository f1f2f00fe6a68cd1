//! Events into files.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{call, text};

fn lines_below(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            fs::read(file.unwrap().path())
                .unwrap()
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count() as u64
        })
        .sum()
}

fn generate(folder: &Path, more: &[&str]) -> crate::Outcome {
    call(
        &[
            &[
                "generate",
                "studio",
                "--events",
                "2000",
                "--seed",
                "7",
                "--into",
                "files",
                "--path",
                text(folder),
            ],
            more,
        ]
        .concat(),
    )
}

#[test]
fn as_many_lines_lie_in_the_files_as_are_reported() {
    let folder = TempDir::new().unwrap();
    let report = generate(folder.path(), &["--garbage", "1%", "--json"]).json();
    assert_eq!(report["records"], 2_000);
    assert_eq!(report["kinds"]["garbage"], 20);
    assert_eq!(report["kinds"]["duplicate"], 100);
    let topics = report["topics"].as_object().unwrap();
    assert_eq!(topics.len(), 6);
    for (topic, records) in topics {
        assert_eq!(
            lines_below(&folder.path().join(topic)),
            records.as_u64().unwrap(),
            "{topic}"
        );
    }
}

#[test]
fn the_same_settings_give_the_same_bytes_at_any_number_of_threads() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    generate(folders[0].path(), &["--threads", "1"]).good();
    generate(folders[1].path(), &["--threads", "3"]).good();
    let bytes = |folder: &TempDir| fs::read(folder.path().join("studio.payment/2.jsonl")).unwrap();
    assert_eq!(bytes(&folders[0]), bytes(&folders[1]));
}

#[test]
fn files_that_hold_events_are_not_written_over() {
    let folder = TempDir::new().unwrap();
    let report = generate(folder.path(), &[]).good();
    assert!(report.starts_with("2,000 events ("), "{report}");
    let outcome = generate(folder.path(), &[]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .contains("holds events already; remove it or choose another folder"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_share_that_is_none_is_refused() {
    let folder = TempDir::new().unwrap();
    let outcome = generate(folder.path(), &["--duplicates", "many"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .contains("setting 'duplicates' is 'many'; write a share such as '5%'"),
        "{}",
        outcome.stderr
    );
}
