//! The inputs of the jobs, whole: what retention is going to take is copied to files first, so that the oracles still
//! know it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use tidemill_connectors_kafka::tools::read_topic;
use tidemill_studio::ports::{OnInput, OnOutput};
use tidemill_studio::{Error, InputReader, OutputReader};

/// Reads topics, and what was deleted from them.
pub struct Mirror {
    bootstrap: String,
    folder: PathBuf,
    /// By topic and partition, the offset behind the last record that was copied.
    copied: BTreeMap<(String, u32), i64>,
}

impl Mirror {
    /// Nothing is copied yet.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(bootstrap: String, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self {
            bootstrap,
            folder,
            copied: BTreeMap::new(),
        })
    }

    /// Copies what lies before the given offsets of a topic, so that it can be deleted.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn keep(&mut self, topic: &str, before: &[(i32, i64)]) -> Result<()> {
        let mut files = BTreeMap::new();
        for &(partition, end) in before {
            let partition = u32::try_from(partition)?;
            let from = self
                .copied
                .get(&(topic.to_owned(), partition))
                .map_or(0, |&offset| offset);
            let path = self.path(topic, partition);
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            files.insert(partition, (BufWriter::new(file), from..end));
        }
        let mut failed = None;
        read_topic(&self.bootstrap, topic, true, |record| {
            if let Some((file, wanted)) = files.get_mut(&record.partition)
                && wanted.contains(&record.offset)
            {
                let written = write(file, record.offset, record.value.unwrap_or_default());
                failed = failed.take().or(written.err());
            }
        })?;
        ensure!(failed.is_none(), "the inputs cannot be copied: {failed:?}");
        for (partition, (mut file, wanted)) in files {
            file.flush()?;
            let copied = self
                .copied
                .entry((topic.to_owned(), partition))
                .or_default();
            *copied = wanted.end.max(*copied);
        }
        Ok(())
    }

    fn path(&self, topic: &str, partition: u32) -> PathBuf {
        self.folder.join(format!("{topic}-{partition}"))
    }
}

fn write(file: &mut impl Write, offset: i64, value: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(value.len()).map_err(std::io::Error::other)?;
    file.write_all(&offset.to_be_bytes())?;
    file.write_all(&length.to_be_bytes())?;
    file.write_all(value)
}

/// The next record, or none at the end.
fn read(file: &mut impl Read) -> std::io::Result<Option<(i64, Vec<u8>)>> {
    let mut head = [0; 12];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3] = head;
    let mut value = vec![0; u32::from_be_bytes([l0, l1, l2, l3]) as usize];
    file.read_exact(&mut value)?;
    let offset = i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
    Ok(Some((offset, value)))
}

impl InputReader for Mirror {
    fn read(&self, topic: &str, on_record: &mut OnInput<'_>) -> Result<(), Error> {
        let from = (topic.to_owned(), 0)..=(topic.to_owned(), u32::MAX);
        for ((_, partition), _) in self.copied.range(from) {
            let path = self.path(topic, *partition);
            let io = |source| Error::Io {
                path: path.clone(),
                source,
            };
            let mut file = BufReader::new(File::open(&path).map_err(io)?);
            while let Some((offset, value)) = read(&mut file).map_err(io)? {
                on_record(*partition, offset, &value);
            }
        }
        let read = read_topic(&self.bootstrap, topic, true, |record| {
            let copied = self.copied.get(&(topic.to_owned(), record.partition));
            if copied.is_none_or(|&copied| record.offset >= copied) {
                on_record(
                    record.partition,
                    record.offset,
                    record.value.unwrap_or_default(),
                );
            }
        });
        read.map_err(|error| Error::port(topic, error))
    }
}

impl OutputReader for Mirror {
    fn read(&self, topic: &str, on_record: &mut OnOutput<'_>) -> Result<(), Error> {
        let mut foreign = 0;
        let read = read_topic(&self.bootstrap, topic, true, |record| match record.epoch {
            Some(epoch) => on_record(
                record.partition,
                record.offset,
                epoch.0,
                record.key,
                record.value,
            ),
            None => foreign += 1,
        });
        read.map_err(|error| Error::port(topic, error))?;
        if foreign > 0 {
            return Err(Error::port(
                topic,
                format!("{foreign} records have no epoch: something else than a job writes here"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn what_is_copied_is_read_again_with_its_offsets() {
        let mut bytes = Vec::new();
        write(&mut bytes, 7, b"one").unwrap();
        write(&mut bytes, 9, b"").unwrap();
        let mut file = bytes.as_slice();
        assert_eq!(read(&mut file).unwrap(), Some((7, b"one".to_vec())));
        assert_eq!(read(&mut file).unwrap(), Some((9, Vec::new())));
        assert_eq!(read(&mut file).unwrap(), None);
    }
}
