//! Small disks for the state of the jobs, so that one can be full: a tmpfs each, where this process may mount one,
//! else plain folders.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

/// Disks that were mounted; unmounted when the value goes.
#[derive(Debug, Default)]
pub struct Disks {
    mounted: Vec<PathBuf>,
}

impl Disks {
    /// A folder with a disk of its own, if that is possible.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn add(&mut self, folder: PathBuf, bytes_max: u64) -> Result<PathBuf> {
        fs::create_dir_all(&folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes_max}"), "tmpfs"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            self.mounted.push(folder.clone());
        }
        Ok(folder)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for folder in &self.mounted {
            // Lazily: a process that is being killed may still hold a file.
            let unmounted = Command::new("umount").arg("-l").arg(folder).status();
            if !unmounted.is_ok_and(|status| status.success()) {
                eprintln!("'{}' could not be unmounted", folder.display());
            }
        }
    }
}

/// True if a folder lies on another disk than the folder around it.
///
/// # Errors
/// If there is no such folder.
pub fn is_own_disk(folder: &Path) -> Result<bool> {
    let around = folder.parent().unwrap_or(folder);
    Ok(fs::metadata(folder)?.dev() != fs::metadata(around)?.dev())
}
