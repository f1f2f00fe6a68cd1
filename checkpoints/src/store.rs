//! Checkpoints on a file system.
//!
//! ```text
//! <root>/checkpoints/.partial-<epoch>/                    being written; never read
//! <root>/checkpoints/<epoch, 20 digits>/worker-0/...      one folder per worker
//! <root>/checkpoints/<epoch, 20 digits>/manifest.json     written last
//! ```
//! A folder gets its final name only after everything in it, the manifest included, is on disk. Whether a checkpoint is whole is decided
//! by its manifest's checksum and by the size and the checksum of every file, never by the folder being there.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tidemill_types::Epoch;

use crate::{Error, FileEntry, Manifest, Record};

const MANIFEST_FILE: &str = "manifest.json";
const PARTIAL_PREFIX: &str = ".partial-";
/// Files are read in pieces of this size.
const READ_BYTES: usize = 1 << 20;

/// The checkpoints of one job.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    dir: PathBuf,
}

/// A checkpoint that was passed over, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its epoch.
    pub epoch: Epoch,
    /// What is wrong with it.
    pub reason: String,
    /// True if it is whole as far as is known, but of an epoch that was never committed.
    pub uncommitted: bool,
}

/// A checkpoint in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its manifest, or why it has none or files are missing. Checksums of files are not verified for a list.
    pub manifest: Result<Manifest, String>,
}

impl CheckpointStore {
    /// The checkpoints under `<root>/checkpoints`. Touches nothing yet.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        let mut dir = root;
        dir.push("checkpoints");
        Self { dir }
    }

    /// The folder of a finished checkpoint.
    #[must_use]
    pub fn path_of(&self, epoch: Epoch) -> PathBuf {
        self.dir.join(format!("{:020}", epoch.0))
    }

    /// A worker's folder in a checkpoint's folder (partial or finished).
    #[must_use]
    pub fn worker_dir(checkpoint: &Path, worker: usize) -> PathBuf {
        checkpoint.join(format!("worker-{worker}"))
    }

    /// The folders of all workers of a finished checkpoint, in order.
    #[must_use]
    pub fn worker_dirs(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let checkpoint = self.path_of(manifest.epoch);
        (0..manifest.workers)
            .map(|worker| Self::worker_dir(&checkpoint, worker))
            .collect()
    }

    /// Creates the folder that the workers write a new checkpoint into, empty.
    ///
    /// # Errors
    /// If it cannot be created, or the epoch has a checkpoint whose manifest is good.
    pub fn begin(&self, epoch: Epoch) -> Result<PathBuf, Error> {
        if self.read_manifest(epoch).is_ok() {
            return Err(Error::CheckpointExists { epoch });
        }
        let partial = self.partial(epoch);
        remove_folder(&partial)?;
        fs::create_dir_all(&partial).map_err(Error::file("create", &partial))?;
        Ok(partial)
    }

    /// Gives up a checkpoint that was begun.
    ///
    /// # Errors
    /// If its folder cannot be removed.
    pub fn abandon(&self, epoch: Epoch) -> Result<(), Error> {
        remove_folder(&self.partial(epoch))
    }

    /// Makes the checkpoint that was begun for the manifest's epoch valid: computes sizes and checksums, syncs the files, writes the manifest
    /// and renames the folder. Returns the manifest with its files.
    ///
    /// A file that is a hard link to the same file of the checkpoint before costs no reading: files of state are immutable once linked.
    ///
    /// # Errors
    /// If anything cannot be read or written. The checkpoint does not count then; [`CheckpointStore::abandon`] it.
    pub fn finish(&self, manifest: Manifest) -> Result<Manifest, Error> {
        let mut manifest = manifest;
        let partial = self.partial(manifest.epoch);
        let before = self
            .epochs()?
            .into_iter()
            .rev()
            .find_map(|epoch| self.read_manifest(epoch).ok());
        let (paths, folders) = walk(&partial)?;
        manifest.files.clear();
        for path in paths {
            manifest
                .files
                .push(self.file_entry(&partial, path, before.as_ref())?);
        }
        manifest.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        manifest.state_bytes = manifest.files.iter().map(|file| file.bytes).sum();
        write_atomically(&partial.join(MANIFEST_FILE), &manifest.encode())?;
        for folder in &folders {
            sync_folder(folder)?;
        }
        let path = self.path_of(manifest.epoch);
        // Only a broken one can be there: `begin` refuses otherwise.
        remove_folder(&path)?;
        fs::rename(&partial, &path).map_err(Error::file("rename", &partial))?;
        sync_folder(&self.dir)?;
        // The folder of all checkpoints may be as new as this one.
        self.dir.parent().map_or(Ok(()), sync_folder)?;
        Ok(manifest)
    }

    fn file_entry(
        &self,
        partial: &Path,
        path: String,
        before: Option<&Manifest>,
    ) -> Result<FileEntry, Error> {
        let full = partial.join(&path);
        let meta = fs::metadata(&full).map_err(Error::file("read", &full))?;
        let known = before.and_then(|before| {
            let entry = before
                .files
                .iter()
                .find(|entry| entry.path == path && entry.bytes == meta.len())?;
            let linked = fs::metadata(self.path_of(before.epoch).join(&path)).ok()?;
            ((linked.dev(), linked.ino()) == (meta.dev(), meta.ino())).then_some(entry.crc32)
        });
        let crc32 = match known {
            Some(crc32) => crc32,
            None => {
                let file = File::open(&full).map_err(Error::file("read", &full))?;
                file.sync_all().map_err(Error::file("sync", &full))?;
                checksum(&full)?
            }
        };
        Ok(FileEntry {
            path,
            bytes: meta.len(),
            crc32,
        })
    }

    /// All checkpoints, oldest first, broken ones too.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn list(&self) -> Result<Vec<Summary>, Error> {
        let summary = |epoch| {
            let manifest = self.read_manifest(epoch).and_then(|manifest| {
                manifest
                    .files
                    .iter()
                    .try_for_each(|file| self.check_size(epoch, file))?;
                Ok(manifest)
            });
            Summary { epoch, manifest }
        };
        Ok(self.epochs()?.into_iter().map(summary).collect())
    }

    /// The oldest checkpoint that has a good manifest: a restore may need the journal, and the sources, from there on, and nothing before.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn oldest(&self) -> Result<Option<Manifest>, Error> {
        let mut epochs = self.epochs()?.into_iter();
        Ok(epochs.find_map(|epoch| self.read_manifest(epoch).ok()))
    }

    /// The newest checkpoint at or before `max_epoch` of which every file is as it was written, and the newer ones that were passed over.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn newest_valid(
        &self,
        max_epoch: Epoch,
    ) -> Result<(Option<Manifest>, Vec<Rejected>), Error> {
        self.newest(max_epoch, |_| true)
    }

    /// As [`CheckpointStore::newest_valid`] up to the journal's last epoch; besides, a checkpoint whose owner, positions or clock differ from
    /// the journal's record of its epoch is passed over.
    ///
    /// Such a checkpoint comes about when a process dies after it finished the checkpoint of an epoch and before it committed that epoch:
    /// the next process cuts an epoch of the same number otherwise. [`CheckpointStore::discard`] the uncommitted ones before going live.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn newest_committed(
        &self,
        journal: &[Record],
    ) -> Result<(Option<Manifest>, Vec<Rejected>), Error> {
        let committed = journal.last().map_or(Epoch(0), |last| last.epoch);
        self.newest(committed, |manifest| {
            let record = journal
                .iter()
                .rev()
                .find(|record| record.epoch == manifest.epoch);
            record.is_none_or(|record| {
                (&record.owner, &record.positions, record.clock_ms)
                    == (&manifest.owner, &manifest.positions, manifest.clock_ms)
            })
        })
    }

    fn newest(
        &self,
        max_epoch: Epoch,
        committed: impl Fn(&Manifest) -> bool,
    ) -> Result<(Option<Manifest>, Vec<Rejected>), Error> {
        let mut rejected = Vec::new();
        for epoch in self.epochs()?.into_iter().rev() {
            let (reason, uncommitted) = if epoch > max_epoch {
                (
                    format!("it is newer than the last committed epoch {max_epoch}"),
                    true,
                )
            } else {
                match self.verify(epoch) {
                    Ok(manifest) if committed(&manifest) => return Ok((Some(manifest), rejected)),
                    Ok(_) => (
                        "it is not of the epoch that the journal has under this number".to_owned(),
                        true,
                    ),
                    Err(reason) => (reason, false),
                }
            };
            rejected.push(Rejected {
                epoch,
                reason,
                uncommitted,
            });
        }
        Ok((None, rejected))
    }

    /// Removes a finished checkpoint.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn discard(&self, epoch: Epoch) -> Result<(), Error> {
        let path = self.path_of(epoch);
        // The manifest first: a checkpoint half removed is none.
        let manifest = path.join(MANIFEST_FILE);
        match fs::remove_file(&manifest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("remove", &manifest)(error))
            }
            _ => remove_folder(&path),
        }
    }

    /// Removes all checkpoints but the `keep` newest that have a good manifest (at least one), and what unfinished ones left behind. Not to be
    /// called while a checkpoint is being written.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn retain(&self, keep: usize) -> Result<Vec<Epoch>, Error> {
        let epochs = self.epochs()?;
        let good = epochs
            .iter()
            .rev()
            .filter(|&&epoch| self.read_manifest(epoch).is_ok());
        let Some(&oldest_kept) = good.take(keep.max(1)).last() else {
            return Ok(Vec::new());
        };
        let removed: Vec<_> = epochs
            .into_iter()
            .filter(|&epoch| epoch < oldest_kept)
            .collect();
        removed.iter().try_for_each(|&epoch| self.discard(epoch))?;
        for name in self.names()? {
            if name.starts_with(PARTIAL_PREFIX) {
                remove_folder(&self.dir.join(name))?;
            }
        }
        Ok(removed)
    }

    fn partial(&self, epoch: Epoch) -> PathBuf {
        self.dir.join(format!("{PARTIAL_PREFIX}{epoch}"))
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("list", &self.dir))?,
        };
        let names = entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names
            .collect::<Result<_, _>>()
            .map_err(Error::file("list", &self.dir))
    }

    /// The epochs that have a folder, in order.
    fn epochs(&self) -> Result<Vec<Epoch>, Error> {
        let names = self.names()?.into_iter().filter(|name| name.len() == 20);
        let mut epochs: Vec<_> = names
            .filter_map(|name| name.parse().ok().map(Epoch))
            .collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn read_manifest(&self, epoch: Epoch) -> Result<Manifest, String> {
        let path = self.path_of(epoch).join(MANIFEST_FILE);
        let bytes = fs::read(&path)
            .map_err(|error| format!("'{MANIFEST_FILE}' cannot be read: {error}"))?;
        let manifest = Manifest::decode(&bytes)?;
        if manifest.epoch != epoch {
            return Err(format!("the manifest is of epoch {}", manifest.epoch));
        }
        Ok(manifest)
    }

    fn check_size(&self, epoch: Epoch, file: &FileEntry) -> Result<(), String> {
        let found = fs::metadata(self.path_of(epoch).join(&file.path));
        match found.map(|meta| meta.len()) {
            Ok(bytes) if bytes == file.bytes => Ok(()),
            Ok(bytes) => Err(format!(
                "'{}' has {bytes} bytes instead of {}",
                file.path, file.bytes
            )),
            Err(error) => Err(format!("'{}' cannot be read: {error}", file.path)),
        }
    }

    fn verify(&self, epoch: Epoch) -> Result<Manifest, String> {
        let manifest = self.read_manifest(epoch)?;
        // Sizes first: they cost nothing, and tell of most damage.
        manifest
            .files
            .iter()
            .try_for_each(|file| self.check_size(epoch, file))?;
        for file in &manifest.files {
            let crc32 = checksum(&self.path_of(epoch).join(&file.path))
                .map_err(|error| error.to_string())?;
            if crc32 != file.crc32 {
                return Err(format!("'{}' does not match its checksum", file.path));
            }
        }
        Ok(manifest)
    }
}

/// Writes a file so that it is there whole or not at all, also after a power cut.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(Error::file("create", &temporary))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::file("rename", &temporary))?;
    path.parent().map_or(Ok(()), sync_folder)
}

pub(crate) fn sync_folder(dir: &Path) -> Result<(), Error> {
    File::open(dir)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::file("sync", dir))
}

pub(crate) fn remove_folder(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("remove", dir)(error))
        }
        _ => Ok(()),
    }
}

/// The paths of all files below `root`, relative to it, and the folders with `root` itself.
fn walk(root: &Path) -> Result<(Vec<String>, Vec<PathBuf>), Error> {
    let (mut files, mut folders, mut next) = (Vec::new(), vec![root.to_owned()], 0);
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
            let entry = entry.map_err(Error::file("list", &folder))?;
            let path = entry.path();
            if entry
                .file_type()
                .map_err(Error::file("read", &path))?
                .is_dir()
            {
                folders.push(path);
            } else {
                let relative = path
                    .strip_prefix(root)
                    .expect("entries of a folder below the root are below the root");
                files.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    Ok((files, folders))
}

fn checksum(path: &Path) -> Result<u32, Error> {
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer).map_err(Error::file("read", path))? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
