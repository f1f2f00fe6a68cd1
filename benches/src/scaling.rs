//! How the finance job of the studio scales with its state and its workers: for each number of keys, files to files, without a broker.
//!
//! 1. Events are generated into files, so many that about so many entities come into being: each is a key of the job's keyed state.
//! 2. With each number of workers, from nothing: the job reads everything, commits it, takes its last checkpoint and ends.
//! 3. It is started again on that state: how long until it is live? Nothing is left to read, and nothing to replay.
//!
//! Memory for keyed state is the same for every size, so that the larger ones live on disk. What was committed is held against the oracle,
//! but for sizes that the oracle, which keeps everything in memory, should not be asked for.

mod figures;

use std::fs::{read_dir, remove_dir_all, remove_file};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::catch_up;
use crate::job::Status;
use crate::launch::{Binaries, FINANCE_JOB, Launch, Place};

pub use figures::{Figures, Recovery, Run, Size};

/// How long a job may take to recover.
const LIVE_WAIT_MAX: Duration = Duration::from_secs(600);
/// Interval of checkpoints: the default of a job.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
/// Events per mille that bring a new entity into being.
const CREATES_PER_MILLE: u64 = 840;
/// What a key takes on disk at most, in events, outputs, state and checkpoints.
const DISK_PER_KEY_BYTES: u64 = 2_000;
/// Topics that the generator writes; whatever else lies beside them the job wrote.
const EVENTS_PREFIX: &str = "studio.";

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// About how many keys, each a size of its own.
    pub keys: Vec<u64>,
    /// With how many workers, each a run of its own.
    pub workers: Vec<usize>,
    /// Seed of the generator.
    pub seed: u64,
    /// Memory for keyed state, of all workers together.
    pub state_memory_bytes: u64,
    /// Up to how many keys outputs are held against the oracle.
    pub verified_keys_max: u64,
    /// Root of the workspace.
    pub root: PathBuf,
    /// The binaries.
    pub binaries: Binaries,
}

/// Measures all sizes, and says what goes on meanwhile.
///
/// # Errors
/// If something does not run at all, or there is no room for it.
pub fn run(settings: &Settings, mut say: impl FnMut(&str)) -> Result<Figures> {
    let mut sizes = Vec::new();
    for &keys in &settings.keys {
        // Gone before the next size comes.
        let work = tempfile::Builder::new()
            .prefix("tidemill-scaling.")
            .tempdir()?;
        let free = free_bytes(work.path())?;
        ensure!(
            free > keys * DISK_PER_KEY_BYTES,
            "{keys} keys may take {} GB on disk, and '{}' has {} GB; free some, set TMPDIR, or leave the size away with --keys",
            keys * DISK_PER_KEY_BYTES / 1_000_000_000,
            work.path().display(),
            free / 1_000_000_000
        );
        sizes.push(size(settings, keys, work.path(), &mut say)?);
    }
    Ok(Figures {
        sizes,
        state_memory_bytes: settings.state_memory_bytes,
    })
}

fn size(settings: &Settings, keys: u64, work: &Path, say: &mut impl FnMut(&str)) -> Result<Size> {
    let data = work.join("data");
    let mut launch = Launch {
        binaries: settings.binaries.clone(),
        root: settings.root.clone(),
        job: PathBuf::from(FINANCE_JOB),
        work: work.to_owned(),
        place: Place::Files(data.clone()),
        workers: 1,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        state_memory_bytes: Some(settings.state_memory_bytes),
    };
    let events = keys * 1_000 / CREATES_PER_MILLE;
    say(&format!("{keys} keys: writing {events} events"));
    let generated = launch.generate(events, settings.seed)?;
    let number = |value: &Value, of: &str| {
        let number = value.as_u64();
        number.with_context(|| format!("the generator does not say '{of}'"))
    };
    let mut size = Size {
        keys: number(&generated["kinds"]["create"], "kinds.create")?,
        events,
        event_bytes: number(&generated["bytes"], "bytes")?,
        runs: Vec::new(),
    };
    for &workers in &settings.workers {
        launch.workers = workers;
        forget(&launch, &data)?;
        let catch_up = catch_up::follow(launch.run(&["--until-caught-up"])?, events)?;
        let state_bytes = bytes_on_disk(&launch.state_folder())?;
        let is_verified = keys <= settings.verified_keys_max;
        let verified = is_verified.then(|| launch.verify()).transpose()?;
        let run = Run {
            workers,
            catch_up,
            state_bytes,
            verified: verified.map(|found| found["verified"] == Value::Bool(true)),
            recovery: recover(&launch)?,
        };
        say(&size.line(&run));
        size.runs.push(run);
    }
    Ok(size)
}

/// Once more, on the state that there is now.
fn recover(launch: &Launch) -> Result<Recovery> {
    let job = launch.run(&[])?;
    let live = job.wait_for("live", LIVE_WAIT_MAX, Status::is_live)?;
    let recovery = Recovery {
        ms: live.status.recovery_ms.unwrap_or(-1),
        usage: job.usage(),
    };
    job.stop()?;
    Ok(recovery)
}

/// Removes what the job wrote, so that it starts from nothing.
fn forget(launch: &Launch, data: &Path) -> Result<()> {
    let state = launch.state_folder();
    if state.exists() {
        remove_dir_all(&state)?;
    }
    for entry in read_dir(data)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(EVENTS_PREFIX)
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_dir_all(entry.path())?;
        } else {
            remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Bytes of all files below a folder, each once however many names it has: checkpoints share files with the state.
fn bytes_on_disk(folder: &Path) -> Result<u64> {
    let output = Command::new("du")
        .args(["-sb", "--"])
        .arg(folder)
        .output()?;
    first_number(&output.stdout)
        .with_context(|| format!("'du' does not tell the size of '{}'", folder.display()))
}

/// Free bytes of the file system that a folder lies in.
fn free_bytes(folder: &Path) -> Result<u64> {
    let output = Command::new("df")
        .args(["-B1", "--output=avail", "--"])
        .arg(folder)
        .output()?;
    first_number(&output.stdout).with_context(|| {
        format!(
            "'df' does not tell the free space of '{}'",
            folder.display()
        )
    })
}

fn first_number(output: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(output);
    text.split_whitespace().find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{bytes_on_disk, first_number};

    #[test]
    fn sizes_are_the_first_number_that_the_tools_print() {
        assert_eq!(first_number(b"     Avail\n62914560\n"), Some(62_914_560));
        assert_eq!(first_number(b"4096\t/tmp/1\n"), Some(4_096));
        assert_eq!(first_number(b"df: no such folder\n"), None);
    }

    #[test]
    fn files_with_two_names_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let empty = bytes_on_disk(folder.path()).unwrap();
        std::fs::write(folder.path().join("a"), vec![0; 10_000]).unwrap();
        std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_eq!(bytes_on_disk(folder.path()).unwrap(), empty + 10_000);
    }
}
