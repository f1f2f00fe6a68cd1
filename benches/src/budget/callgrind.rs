//! Counts the instructions of each stage: runs `bench-stages` once under callgrind, which counts in the measured sections alone and writes
//! down what it has counted at the end of each operator.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::stages::section::{COUNTED, ENDED};

/// What a run under callgrind must know of its stages, as `bench-stages --counted FILE` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records that went into each stage.
    pub records: BTreeMap<String, u64>,
    /// The stages as they ended, once for each operator.
    pub ends: Vec<String>,
}

/// Runs `bench_stages` with `options`, and counts: instructions per record, by stage.
///
/// # Errors
/// If valgrind is not there (says how to install it), or what it wrote does not fit what was run.
pub fn count(bench_stages: &Path, options: &[String]) -> Result<BTreeMap<String, f64>> {
    let folder = tempfile::tempdir()?;
    let (out, counts) = (
        folder.path().join("callgrind"),
        folder.path().join("counts.json"),
    );
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-before={ENDED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(bench_stages)
        .args(options)
        .arg("--counted")
        .arg(&counts)
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
        "'{}' failed under valgrind: {}",
        bench_stages.display(),
        String::from_utf8_lossy(&run.stderr)
    );
    let counts: Counts = serde_json::from_slice(&std::fs::read(&counts)?)?;
    let mut instructions = Vec::new();
    for dump in 1..=counts.ends.len() {
        let path = PathBuf::from(format!("{}.{dump}", out.display()));
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "valgrind did not see all stages end: there is no '{}'",
                path.display()
            )
        })?;
        instructions.push(total(&text).with_context(|| format!("'{}'", path.display()))?);
    }
    Ok(per_record(&counts, &instructions))
}

/// Instructions in a dump.
fn total(dump: &str) -> Result<u64> {
    let mut lines = dump.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals:"));
    let total = total.context("has no line 'totals:'")?;
    Ok(total.trim().parse()?)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a bench are far below 2^52"
)]
fn per_record(counts: &Counts, instructions: &[u64]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (stage, instructions) in counts.ends.iter().zip(instructions) {
        *sums.entry(stage.clone()).or_default() += instructions;
    }
    let of_record = |stage: &String, sum: u64| {
        let records = counts.records.get(stage).copied().unwrap_or(0).max(1);
        sum as f64 / records as f64
    };
    sums.into_iter()
        .map(|(stage, sum)| {
            let rounded = (of_record(&stage, sum) * 10.0).round() / 10.0;
            (stage, rounded)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Counts, per_record, total};

    #[test]
    fn operators_of_one_stage_are_added_up() {
        let counts = Counts {
            records: [("dedup".to_owned(), 10), ("table".to_owned(), 4)].into(),
            ends: ["dedup", "table", "dedup"].map(str::to_owned).to_vec(),
        };
        assert_eq!(
            per_record(&counts, &[300, 100, 201]),
            [("dedup".to_owned(), 50.1), ("table".to_owned(), 25.0)].into()
        );
    }

    #[test]
    fn the_total_of_a_dump_is_what_its_line_says() {
        let dump = "# callgrind format\nversion: 1\nevents: Ir\nsummary: 12\n\nfn=(1) x\n1 12\n\ntotals: 12\n";
        assert_eq!(total(dump).unwrap(), 12);
        assert!(total("version: 1\n").is_err());
    }
}
