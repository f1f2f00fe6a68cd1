//! Topics as folders of JSON lines: `<path>/<topic>/<partition>.jsonl`, a line an event, its offset the byte position of the line's start
//! (as the `files` connector counts).

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::ports::OnInput;
use crate::{Error, EventSink, InputReader, Topic};

/// Bytes held back per partition file.
const BUFFER_BYTES: usize = 256 << 10;

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// Writes events to partition files.
#[derive(Debug)]
pub struct FilesSink {
    path: PathBuf,
    partitions: u32,
    /// By topic, then partition.
    writers: Vec<BufWriter<File>>,
}

impl FilesSink {
    /// Creates the files of all topics, empty.
    ///
    /// # Errors
    /// [`Error::Exists`] if one is there already and holds events; [`Error::Io`].
    pub fn create(path: impl Into<PathBuf>, partitions: u32) -> Result<Self, Error> {
        let path = path.into();
        let mut writers = Vec::new();
        for topic in Topic::ALL {
            let folder = path.join(topic.name());
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
            for partition in 0..partitions {
                let name = folder.join(format!("{partition}.jsonl"));
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&name)
                    .map_err(failed(&name))?;
                if file.metadata().map_err(failed(&name))?.len() > 0 {
                    return Err(Error::Exists(name));
                }
                writers.push(BufWriter::with_capacity(BUFFER_BYTES, file));
            }
        }
        Ok(Self {
            path,
            partitions,
            writers,
        })
    }
}

impl EventSink for FilesSink {
    fn write(
        &mut self,
        topic: Topic,
        partition: u32,
        _key: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        debug_assert!(!value.contains(&b'\n'), "an event is a line");
        let writer =
            &mut self.writers[topic.index() * self.partitions as usize + partition as usize];
        let written = writer
            .write_all(value)
            .and_then(|()| writer.write_all(b"\n"));
        written.map_err(|source| Error::Io {
            path: self.path.join(topic.name()),
            source,
        })
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.writers
            .iter_mut()
            .try_for_each(Write::flush)
            .map_err(failed(&self.path))
    }
}

/// Reads partition files as the job does: a last line without a line feed is not there yet.
#[derive(Debug)]
pub struct FilesInput {
    path: PathBuf,
}

impl FilesInput {
    /// A reader of the topics below `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn partitions(folder: &Path) -> Result<Vec<(u32, PathBuf)>, Error> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed(folder))? {
            let path = entry.map_err(failed(folder))?.path();
            let is_lines = path
                .extension()
                .is_some_and(|extension| extension == "jsonl");
            let partition = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.parse().ok());
            if let (true, Some(partition)) = (is_lines, partition) {
                found.push((partition, path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

impl InputReader for FilesInput {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        for (partition, path) in Self::partitions(&self.path.join(topic))? {
            let mut reader =
                BufReader::with_capacity(BUFFER_BYTES, File::open(&path).map_err(failed(&path))?);
            let (mut line, mut offset) = (Vec::new(), 0_i64);
            while reader.read_until(b'\n', &mut line).map_err(failed(&path))? > 0
                && line.last() == Some(&b'\n')
            {
                on_record(partition, offset, &line[..line.len() - 1]);
                offset += i64::try_from(line.len()).expect("a line is shorter than 8 EiB");
                line.clear();
            }
        }
        Ok(())
    }
}
