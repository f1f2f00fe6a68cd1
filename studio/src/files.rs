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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{FilesInput, FilesSink};
    use crate::{EventSink, InputReader, Topic};

    fn read(path: &Path) -> Vec<(u32, i64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut on_record =
            |partition, offset, bytes: &[u8]| found.push((partition, offset, bytes.to_vec()));
        FilesInput::new(path)
            .read(Topic::Payment.name(), &mut on_record)
            .expect("the folder is there");
        found
    }

    #[test]
    fn events_are_read_back_at_the_byte_where_their_line_starts() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut sink = FilesSink::create(folder.path(), 2).expect("the folder is empty");
        for (partition, value) in [(1, "one"), (0, "zero"), (1, ""), (1, "three")] {
            sink.write(Topic::Payment, partition, b"1", value.as_bytes())
                .expect("can be written");
        }
        sink.flush().expect("can be written");
        let expected = [(0, 0, "zero"), (1, 0, "one"), (1, 4, ""), (1, 5, "three")];
        assert_eq!(
            read(folder.path()),
            expected.map(|(partition, offset, value)| (
                partition,
                offset,
                value.as_bytes().to_vec()
            ))
        );
    }

    #[test]
    fn a_line_that_is_not_finished_is_not_there_yet() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::create_dir_all(folder.path().join("studio.payment")).expect("can be made");
        fs::write(
            folder.path().join("studio.payment/0.jsonl"),
            "done\nto be cont",
        )
        .expect("can be written");
        assert_eq!(read(folder.path()), [(0, 0, b"done".to_vec())]);
    }

    #[test]
    fn events_that_exist_are_not_mixed_with_new_ones() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut sink = FilesSink::create(folder.path(), 1).expect("the folder is empty");
        sink.write(Topic::Talent, 0, b"1", b"{}")
            .expect("can be written");
        sink.flush().expect("can be written");
        let error = FilesSink::create(folder.path(), 1).expect_err("is refused");
        assert!(
            error
                .to_string()
                .ends_with("holds events already; remove it or choose another folder"),
            "{error}"
        );
    }
}
