//! Folders of JSON lines as a connector: for trying a job out, for tests, and for moving a job away from Kafka without touching its SQL.
//!
//! A topic is a folder `<path>/<topic>/` of partition files `<n>.jsonl`; a record is a line, its offset the byte position of the line's
//! start. What a job writes becomes visible by one line in `<path>/_committed`, which also holds the job's journal.
//!
//! Promises: positions are exact; a commit is atomic over all sinks of a job and durable when it returns; a last line without a line feed is
//! not read yet; nothing is ever removed that the job did not write itself.
//! Does not: watch for new partition files, rotate, or let two jobs write under one path.

mod commit_log;
mod committer;
mod disk;
mod options;
mod reader;
mod replay;
mod source;

use std::path::Path;

use tidemill_connectors_api::{
    Committer, Connector, ConnectorOptions, Error, Replay, SinkSpec, Source, SourceSpec,
};

pub use reader::{CommittedRecord, read_committed};

/// The largest record that is read: a longer line is refused with an error rather than cut.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The journal of a job that commits no files, in a folder of its own.
#[must_use]
pub fn journal(job: &str, folder: &Path) -> Box<dyn Committer> {
    let options = options::CommitterOptions {
        path: folder.to_owned(),
        sinks: Vec::new(),
    };
    Box::new(committer::FilesCommitter::new(job, options))
}

/// The connector `files`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Connector for Files {
    fn options(&self) -> ConnectorOptions {
        options::known()
    }

    fn source(&self, spec: &SourceSpec<'_>) -> Result<Box<dyn Source>, Error> {
        let options = options::SourceOptions::parse(spec.name, spec.options)?;
        Ok(Box::new(source::FilesSource::new(options)))
    }

    fn committer(&self, job: &str, sinks: &[SinkSpec]) -> Result<Box<dyn Committer>, Error> {
        let options = options::CommitterOptions::parse(sinks)?;
        Ok(Box::new(committer::FilesCommitter::new(job, options)))
    }

    fn replay(&self, spec: &SourceSpec<'_>, _: &str) -> Result<Box<dyn Replay>, Error> {
        let options = options::SourceOptions::parse(spec.name, spec.options)?;
        Ok(Box::new(replay::FilesReplay::new(options)))
    }
}
