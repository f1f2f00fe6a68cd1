//! What happens to a disk: damage that a job must survive, and old copies.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Damages the newest checkpoint if there is an older one, or what was being written, or what need not be there.
pub fn damage(state_dir: &Path, rng: &mut ChaCha8Rng) {
    let checkpoints = names(&state_dir.join("checkpoints"));
    let whole: Vec<&PathBuf> = checkpoints
        .iter()
        .filter(|path| path.file_name().is_some_and(|name| name.len() == 20))
        .collect();
    match rng.random_range(0..3) {
        0 => drop(fs::remove_dir_all(state_dir.join("live"))),
        1 => {
            let partial = state_dir.join("checkpoints/.partial-7");
            drop(
                fs::create_dir_all(&partial)
                    .and_then(|()| fs::write(partial.join("torn"), b"half")),
            );
        }
        _ if whole.len() > 1 => damage_newest(state_dir, &whole, rng),
        _ => {}
    }
}

/// One checkpoint at a time is damaged: of two, nobody can restore.
fn damage_newest(state_dir: &Path, whole: &[&PathBuf], rng: &mut ChaCha8Rng) {
    let note = state_dir.join("damaged");
    let damaged = fs::read_to_string(&note).unwrap_or_default();
    let newest = whole[whole.len() - 1];
    let files = files(newest);
    if !damaged.is_empty() && whole.iter().any(|path| path.ends_with(&damaged)) {
        return;
    }
    if let Some(file) = files.choose(rng) {
        tear(file, rng);
        let name = newest.file_name().unwrap_or_default();
        drop(fs::write(note, name.to_string_lossy().as_bytes()));
    }
}

/// A file is cut off, or a bit of it flips.
fn tear(file: &Path, rng: &mut ChaCha8Rng) {
    let Ok(mut bytes) = fs::read(file) else {
        return;
    };
    if bytes.is_empty() || rng.random_bool(0.3) {
        drop(fs::remove_file(file));
        return;
    }
    let at = rng.random_range(0..bytes.len());
    if rng.random_bool(0.5) {
        bytes.truncate(at);
    } else {
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    // Another file under the name: what is linked elsewhere stays whole, as on another disk.
    drop(fs::remove_file(file).and_then(|()| fs::write(file, bytes)));
}

/// Copies what a state directory holds of checkpoints.
pub fn copy_folder(from: &Path, to: &Path) {
    for path in files(from) {
        let Ok(relative) = path.strip_prefix(from) else {
            continue;
        };
        if relative.starts_with("live") || relative == Path::new("lock") {
            continue;
        }
        let target = to.join(relative);
        let parent = target.parent().unwrap_or(to);
        drop(fs::create_dir_all(parent).and_then(|()| fs::copy(&path, &target).map(drop)));
    }
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    names(folder).into_iter().flat_map(below).collect()
}
