//! The real binary, as it is called from a shell: what it prints, what lies on disk then, and with which exit code it ends.
//!
//! Not tested here: `verify`, which needs a job's outputs (`tidemill`'s own tests have them), and Kafka, which needs a broker.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the binary left.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// The standard output of a run that must go well.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
}

fn call(arguments: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill-studio"));
    command.args(arguments).env_remove("TIDEMILL_LOG");
    let output = command.stdin(Stdio::null()).output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

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

fn generate(folder: &Path, more: &[&str]) -> Outcome {
    let path = folder.to_str().unwrap();
    let place = ["generate", "--into", "files", "--path", path];
    call(&[&place[..], &["--events", "2000", "--seed", "7"], more].concat())
}

#[test]
fn as_many_lines_lie_in_the_files_as_are_reported() {
    let folder = TempDir::new().unwrap();
    let report = generate(folder.path(), &["--garbage", "1%", "--json"]).good();
    let report: Value = serde_json::from_str(&report).unwrap();
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

#[test]
fn a_folder_without_events_is_refused_by_the_verifier() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    let outcome = call(&["verify", "--from", "files", "--path", path]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome
            .stderr
            .contains("name the folder that 'generate' wrote into"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn help_names_the_commands_and_the_exit_codes() {
    let help = call(&["--help"]).good();
    for word in ["generate", "verify", "Exit codes:", "TIDEMILL_LOG"] {
        assert!(help.contains(word), "'{word}' is not in:\n{help}");
    }
}

#[test]
fn help_of_a_command_has_examples() {
    for command in ["generate", "verify"] {
        let help = call(&[command, "--help"]).good();
        let example = format!("Examples:\n  tidemill-studio {command} ");
        assert!(help.contains(&example), "{help}");
    }
}
