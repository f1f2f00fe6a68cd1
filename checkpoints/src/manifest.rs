//! The manifest of a checkpoint: what it is of, and every file with its size and checksum.
//!
//! On disk it is two lines: the manifest as JSON, and the CRC-32 of that line in hexadecimal. A torn or changed manifest is no manifest.

use serde::{Deserialize, Serialize};
use tidemill_types::Epoch;

use crate::journal::{DataTimes, Incarnations, Positions};

/// Version of the layout.
pub const VERSION: u32 = 2;

/// What a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout, [`VERSION`].
    pub version: u32,
    /// Name of the job.
    pub job: String,
    /// The checkpoint holds the state as of exactly the end of this epoch.
    pub epoch: Epoch,
    /// The run that wrote it, and committed the epoch.
    pub owner: String,
    /// Identity of the plan that wrote the state.
    pub plan_hash: String,
    /// The plan's text, for people and for comparing it with the next one.
    pub plan_text: String,
    /// How many workers wrote it; their folders are `worker-0` and so on.
    pub workers: usize,
    /// The epoch's reading of the wall clock, in milliseconds since 1970 UTC.
    pub clock_ms: i64,
    /// What the epoch knew of the data's time.
    pub time: DataTimes,
    /// When the checkpoint was written, in milliseconds since 1970 UTC. Says nothing about the state.
    pub created_ms: i64,
    /// Where every source partition stands after the epoch.
    pub positions: Positions,
    /// Which logs the positions are of.
    pub incarnations: Incarnations,
    /// Every file, sorted by path. Filled in by [`crate::CheckpointStore::finish`].
    pub files: Vec<FileEntry>,
    /// The sum of the files' sizes. Filled in by [`crate::CheckpointStore::finish`].
    pub state_bytes: u64,
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the checkpoint's folder, with `/`.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// CRC-32 (IEEE) of its content.
    pub crc32: u32,
}

impl Manifest {
    /// The manifest's bytes on disk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes =
            serde_json::to_vec(self).expect("a manifest has only strings and integers for keys");
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
        bytes
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// Says in words why it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let end = bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or("the manifest is cut off")?;
        let (json, rest) = bytes.split_at(end);
        if rest != format!("\n{:08x}\n", crc32fast::hash(json)).as_bytes() {
            return Err("the manifest does not match its checksum".to_owned());
        }
        let manifest: Self = serde_json::from_slice(json)
            .map_err(|error| format!("the manifest cannot be read: {error}"))?;
        if manifest.version != VERSION {
            return Err(format!(
                "the manifest has version {}, and this version of tidemill reads {VERSION}",
                manifest.version
            ));
        }
        Ok(manifest)
    }
}
