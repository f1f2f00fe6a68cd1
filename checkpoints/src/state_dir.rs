//! A job's state directory: whose it is, and that only one process uses it.
//!
//! ```text
//! <root>/lock            held (flock) by the running process; its content is the process id
//! <root>/identity.json   {version, job, plan_hash}
//! <root>/checkpoints/    see the module `store`
//! <root>/live/worker-0/  the live state, rebuilt from a checkpoint at each start
//! <root>/outbox/0/       see the module `outbox`
//! <root>/dead-letters/   see the module `dead_letter_file`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::{sync_folder, write_atomically};
use crate::{CheckpointStore, DeadLetterFile, Error};

/// Version of the directory's layout.
pub const VERSION: u32 = 1;

const LOCK_FILE: &str = "lock";
const IDENTITY_FILE: &str = "identity.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    version: u32,
    job: String,
    plan_hash: String,
}

/// A state directory, held by this process until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    identity: Identity,
    /// The operating system releases the lock when the file is closed, also after `kill -9`.
    _lock: File,
}

impl StateDir {
    /// Creates the directory if it does not exist, takes it for this process, and checks that it is the job's or nobody's yet.
    ///
    /// # Errors
    /// `Invalid` if the directory cannot be written, is in use by another process, or belongs to another job or another plan.
    pub fn lock(root: &Path, job: &str, plan_hash: &str) -> Result<Self, Error> {
        make_root(root)?;
        let lock = lock_file(root)?;
        let wanted = Identity {
            version: VERSION,
            job: job.to_owned(),
            plan_hash: plan_hash.to_owned(),
        };
        if let Some(found) = read_identity(root)? {
            check_identity(root, found, &wanted)?;
        }
        Ok(Self {
            root: root.to_owned(),
            identity: wanted,
            _lock: lock,
        })
    }

    /// Makes the directory the job's and the plan's. To be done before anything is written into it, but only when it is certain that the job
    /// may start: a plan that is refused must not leave its name here, or the right one would be refused next.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn claim(&self) -> Result<(), Error> {
        let bytes =
            serde_json::to_vec(&self.identity).expect("an identity has only strings and integers");
        write_atomically(&self.root.join(IDENTITY_FILE), &bytes)
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The checkpoints in it.
    #[must_use]
    pub fn checkpoints(&self) -> CheckpointStore {
        CheckpointStore::new(self.root.clone())
    }

    /// The dead letters that are kept in it.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetterFile {
        DeadLetterFile::new(&self.root)
    }

    /// Where the outbox of a sink lies.
    #[must_use]
    pub fn outbox_dir(&self, sink: usize) -> PathBuf {
        self.root.join("outbox").join(sink.to_string())
    }

    /// Where live state lies, a folder `worker-<index>` for each worker.
    #[must_use]
    pub fn live_dir(&self) -> PathBuf {
        self.root.join("live")
    }
}

/// Creates the directory if it is not there, so that it is there after a power cut.
fn make_root(root: &Path) -> Result<(), Error> {
    if root.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(root).map_err(Error::file("create", root))?;
    let root = root.canonicalize().map_err(Error::file("read", root))?;
    root.parent().map_or(Ok(()), sync_folder)
}

fn lock_file(root: &Path) -> Result<File, Error> {
    let path = root.join(LOCK_FILE);
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = open.map_err(Error::file("write to", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let known = read.is_ok() && !holder.trim().is_empty();
            let holder = if known {
                holder.trim().to_owned()
            } else {
                "unknown".to_owned()
            };
            return Err(Error::InUse {
                path: root.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(Error::file("write to", &path))?;
    Ok(file)
}

fn read_identity(root: &Path) -> Result<Option<Identity>, Error> {
    let path = root.join(IDENTITY_FILE);
    match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) => Err(Error::Damaged {
                path,
                reason: error.to_string(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", &path)(error)),
    }
}

fn check_identity(root: &Path, found: Identity, wanted: &Identity) -> Result<(), Error> {
    let path = root.to_owned();
    if found.version != VERSION {
        let what = format!("state directory '{}'", root.display());
        return Err(Error::UnknownVersion {
            what,
            found: found.version,
            expected: VERSION,
        });
    }
    if found.job != wanted.job {
        return Err(Error::OtherJob {
            path,
            found: found.job,
            wanted: wanted.job.clone(),
        });
    }
    if found.plan_hash != wanted.plan_hash {
        return Err(Error::OtherPlan {
            path,
            job: wanted.job.clone(),
            found: found.plan_hash,
            wanted: wanted.plan_hash.clone(),
        });
    }
    Ok(())
}
