//! Reads what a job committed to files, for the studio's verifier.

use std::path::PathBuf;

use tidemill_connectors_files::read_committed;
use tidemill_studio::ports::OnOutput;
use tidemill_studio::{Error, OutputReader};

/// The committed outputs below a folder.
pub struct FilesOutput {
    path: PathBuf,
}

impl FilesOutput {
    /// A reader of the topics below `path`.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl OutputReader for FilesOutput {
    /// Files are read partition by partition; the offset is the record's place in its partition.
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        let mut next = (0, 0);
        let read = read_committed(&self.path, topic, |record| {
            let (of, offset) = next;
            let offset = if of == record.partition { offset } else { 0 };
            let epoch = record.epoch.0;
            on_record(record.partition, offset, epoch, record.key, record.value);
            next = (record.partition, offset + 1);
        });
        read.map_err(|error| Error::port(topic, error))
    }
}
