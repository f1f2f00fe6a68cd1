//! Counts the instructions of the studio's job: the binary itself runs under callgrind, files to files, and the functions that its stages
//! consist of are looked up in what callgrind writes down.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Baseline;
use crate::launch::{Binaries, FINANCE_JOB, Launch, Place};

/// The stages and the function of each, with whatever it calls. All of them run in the first, so they do not add up to more than that.
const STAGES: [(&str, &str); 12] = [
    ("worker, all", "tidemill_engine::worker::Driver::step"),
    (
        "decode",
        "<tidemill_formats::decoder::Decoder<E> as tidemill_types::format::Decoder>::decode",
    ),
    (
        "dedup",
        "<tidemill_operators::dedup::Dedup as tidemill_operators::epoch::EpochOperator>::on_epoch",
    ),
    (
        "table",
        "<tidemill_operators::table::Table as tidemill_operators::epoch::EpochOperator>::on_epoch",
    ),
    (
        "resequence",
        "<tidemill_operators::resequence::Resequence as tidemill_operators::epoch::EpochOperator>::on_epoch",
    ),
    (
        "window",
        "<tidemill_operators::window::Window as tidemill_operators::epoch::EpochOperator>::on_epoch",
    ),
    ("project", "tidemill_operators::stateless::apply"),
    (
        "arrange",
        "<tidemill_operators::batcher::RowBatcher as differential_dataflow::batcher::Extract>::extract",
    ),
    ("join", "tidemill_operators::join::Join::advance"),
    ("lookup", "tidemill_operators::lookup::Lookup::advance"),
    ("reduce", "tidemill_operators::reduce::combine"),
    ("sink", "tidemill_operators::sink::Sink::on_epoch"),
];
/// An epoch ends when it has so much input, and not by time, which callgrind stretches.
const EPOCH: [&str; 4] = ["--epoch-interval", "10 s", "--epoch-bytes", "1 MiB"];

/// Runs the job on as many events as the baseline says, and counts: instructions per event of the whole mix, by stage.
///
/// # Errors
/// If valgrind is not there (says how to install it), the job fails, or a stage's function does not run any more.
pub fn count(
    binaries: &Binaries,
    root: &Path,
    baseline: &Baseline,
) -> Result<BTreeMap<String, f64>> {
    let folder = tempfile::tempdir()?;
    let launch = Launch {
        binaries: binaries.clone(),
        root: root.to_owned(),
        job: PathBuf::from(FINANCE_JOB),
        work: folder.path().to_owned(),
        place: Place::Files(folder.path().join("data")),
        workers: 1,
        checkpoint_interval: Duration::from_secs(3_600),
        state_memory_bytes: None,
    };
    launch.generate(baseline.events, baseline.seed)?;
    let out = folder.path().join("callgrind");
    let mut valgrind = Command::new("valgrind");
    valgrind
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()));
    let run = launch
        .within(valgrind, &[&EPOCH[..], &["--until-caught-up"]].concat())
        .stdin(Stdio::null())
        .output();
    let run = match run {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "there is no 'valgrind', which counts the instructions; install it, on Debian with 'apt-get install valgrind'"
        ),
        run => run.context("cannot run 'valgrind'")?,
    };
    ensure!(
        run.status.success(),
        "the job failed under valgrind: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    let dump = std::fs::read_to_string(&out)?;
    let instructions = by_function(&dump);
    let of_stage = |(stage, function): (&str, &str)| {
        let count = instructions.get(function).copied();
        let count = count.with_context(|| {
            format!("nothing runs in '{function}' any more, which is the stage '{stage}'; name its successor")
        })?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a bench are far below 2^52"
        )]
        let per_event = count as f64 / baseline.events as f64;
        Ok((stage.to_owned(), (per_event * 10.0).round() / 10.0))
    };
    STAGES.into_iter().map(of_stage).collect()
}

/// The instructions of each function with those of what it calls. A function that calls itself is counted once for each time.
///
/// Source of the format: "Callgrind Format Specification" of valgrind's manual.
fn by_function(dump: &str) -> HashMap<&str, u64> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let mut function = "";
    for line in dump.lines() {
        // A name stands in full where it comes first, and its number wherever it comes: `fn=(7) name`, then `fn=(7)`.
        let called = line.strip_prefix("cfn=");
        if let Some(of) = line.strip_prefix("fn=").or(called) {
            let (number, name) = of.split_once(' ').unwrap_or((of, ""));
            let name = match name {
                "" => names.get(number).copied().unwrap_or_default(),
                name => {
                    names.insert(number, name);
                    name
                }
            };
            if called.is_none() {
                function = name;
            }
            continue;
        }
        // Costs: a position, absolute or relative, and a count. What a call cost stands in the same way behind its `calls=`.
        if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let count = line.split_whitespace().nth(1);
            let count = count.and_then(|count| count.parse::<u64>().ok());
            *counts.entry(function).or_default() += count.unwrap_or(0);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::by_function;

    #[test]
    fn a_function_has_its_own_instructions_and_those_of_its_calls() {
        let dump = "# callgrind format\nevents: Ir\n\nfl=(1) a.rs\nfn=(1) outer\n12 5\n+1 2\ncfi=(2) b.rs\ncfn=(2) inner<T> as X\n\
             calls=3 0\n* 30\n\nfn=(2)\n7 10\n-2 20\n\nfn=(3) other\n1 1\n\nfn=(1)\n14 4\n\ntotals: 42\n";
        let counts = by_function(dump);
        assert_eq!(counts["outer"], 41);
        assert_eq!(counts["inner<T> as X"], 30);
        assert_eq!(counts["other"], 1);
    }
}
