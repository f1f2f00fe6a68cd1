//! The outbox of a sink: what is committed for it, and not yet certain to be where it is brought.
//!
//! ```text
//! <root>/outbox/<sink>/<number, 20 digits>.parcels                      of the run
//! <root>/checkpoints/<epoch>/outbox-<sink>/<number, 20 digits>.parcels  as of the checkpoint, or somewhat later
//! <root>/checkpoints/<epoch>/outbox-<sink>/gone                         epoch of the newest parcel that was delivered until then
//! ```
//! A file has parcels back to back, their epochs ascending: `TMO1`, the epoch (8 bytes), the length of what follows (4), its CRC-32 (4), then per
//! record the length of its key (4), that of its value and one more (4; 0 is no value), key and value. Numbers are big endian.
//!
//! Promises: what was put in comes out in order until it is said to be there, also by who restores a checkpoint: as of its epoch exactly. Does
//! not promise to survive by itself: what was not in a checkpoint is done again, as the state is.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidemill_types::{Epoch, OutputRecords, Parcel};

use crate::Error;
use crate::store::remove_folder;

const MAGIC: [u8; 4] = *b"TMO1";
const HEAD_BYTES: usize = MAGIC.len() + 8 + 4 + 4;
/// A file above this takes no more, in bytes.
const FILE_BYTES: u64 = 16 << 20;
const ENDING: &str = "parcels";
/// The file of a checkpoint with the epoch of the newest parcel that was delivered, in decimal.
const GONE: &str = "gone";

/// The outbox of one sink: filled by who commits, emptied by who delivers, and put into checkpoints by who writes them.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    bytes_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    parcels: VecDeque<Entry>,
    files: VecDeque<Parcels>,
    /// Of all parcels together.
    bytes: u64,
    /// Epoch of the newest parcel that was in and is no more.
    gone: Epoch,
    /// Through this epoch everything is where it is brought.
    there: Epoch,
    next_number: u64,
    /// The last file takes no more.
    is_sealed: bool,
}

/// A parcel that is in.
#[derive(Debug, Clone, Copy)]
struct Entry {
    epoch: Epoch,
    /// Number of its file.
    file: u64,
    at: u64,
    bytes: u64,
}

/// A file of parcels.
#[derive(Debug)]
struct Parcels {
    number: u64,
    file: Arc<File>,
    bytes: u64,
}

impl Outbox {
    /// Where a sink's lies below a checkpoint's folder.
    #[must_use]
    pub fn in_checkpoint(checkpoint: &Path, sink: usize) -> PathBuf {
        checkpoint.join(format!("outbox-{sink}"))
    }

    /// The outbox of a run in `folder`, of which nothing is left but what `checkpoint` has: its folder of the sink, and its epoch. It is full
    /// with `bytes_max`.
    ///
    /// # Errors
    /// If it cannot be read or written, or what is in the checkpoint is damaged.
    pub fn restore(
        folder: &Path,
        checkpoint: Option<(&Path, Epoch)>,
        bytes_max: u64,
    ) -> Result<Self, Error> {
        remove_folder(folder)?;
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let mut inner = Inner::default();
        if let Some((from, through)) = checkpoint {
            for number in numbers(from)? {
                let path = path_of(folder, number);
                fs::hard_link(path_of(from, number), &path).map_err(Error::file("link", &path))?;
                inner.take_file(&path, number, through)?;
            }
            inner.gone = read_gone(from)?.min(through);
        }
        // The files are the checkpoint's, too.
        inner.is_sealed = true;
        Ok(Self {
            folder: folder.to_owned(),
            bytes_max,
            inner: Mutex::new(inner),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a parcel in, whose epoch is newer than those of all before; unless it is where it is brought already.
    ///
    /// # Errors
    /// If it cannot be written. It is not in then.
    pub fn put(&self, parcel: &Parcel) -> Result<(), Error> {
        let mut inner = self.inner();
        if parcel.epoch <= inner.there {
            inner.gone = inner.gone.max(parcel.epoch);
            return Ok(());
        }
        let bytes = encode(parcel);
        let is_full = inner
            .files
            .back()
            .is_none_or(|file| file.bytes >= FILE_BYTES);
        if is_full || inner.is_sealed {
            let number = inner.next_number;
            let path = path_of(&self.folder, number);
            let file = (OpenOptions::new().create(true).truncate(true))
                .read(true)
                .write(true)
                .open(&path);
            let file = Arc::new(file.map_err(Error::file("create", &path))?);
            inner.files.push_back(Parcels {
                number,
                file,
                bytes: 0,
            });
            inner.next_number += 1;
            inner.is_sealed = false;
        }
        let file = inner.files.back_mut().expect("there is one now");
        // At its place: what failed half is written over by the next one.
        let written = file.file.write_all_at(&bytes, file.bytes);
        written.map_err(Error::file("write to", &path_of(&self.folder, file.number)))?;
        let entry = Entry {
            epoch: parcel.epoch,
            file: file.number,
            at: file.bytes,
            bytes: bytes.len() as u64,
        };
        file.bytes += entry.bytes;
        inner.bytes += entry.bytes;
        inner.parcels.push_back(entry);
        Ok(())
    }

    /// The oldest parcels, of about `bytes` together, at least one if there is one. They stay in.
    ///
    /// # Errors
    /// If they cannot be read, or are not what was put in.
    pub fn oldest(&self, bytes: u64) -> Result<Vec<Parcel>, Error> {
        // Read without the lock: who commits does not wait for the disk of who delivers.
        let entries = self.inner().oldest(bytes);
        let mut parcels = Vec::with_capacity(entries.len());
        for (entry, file) in entries {
            let path = path_of(&self.folder, entry.file);
            let len = usize::try_from(entry.bytes).expect("a parcel fits in memory");
            let mut bytes = vec![0; len];
            let read = file.read_exact_at(&mut bytes, entry.at);
            read.map_err(Error::file("read", &path))?;
            let (parcel, _) = decode(&bytes).map_err(|reason| Error::Damaged { path, reason })?;
            parcels.push(parcel);
        }
        Ok(parcels)
    }

    /// Epoch of the newest parcel that was in and is no more, 0 for none: whoever lacks it does not get it here.
    pub fn gone_through(&self) -> Epoch {
        self.inner().gone
    }

    /// Everything through an epoch is where it is brought: it goes out, and what is put in of it does not stay.
    pub fn delivered(&self, through: Epoch) {
        let mut inner = self.inner();
        inner.there = inner.there.max(through);
        while let Some(entry) = inner.parcels.pop_front_if(|entry| entry.epoch <= through) {
            inner.bytes -= entry.bytes;
            inner.gone = inner.gone.max(entry.epoch);
        }
        let needed = inner.parcels.front().map_or(u64::MAX, |entry| entry.file);
        while let Some(file) = inner.files.pop_front_if(|file| file.number < needed) {
            // Best effort: the next run clears the folder.
            let _ = fs::remove_file(path_of(&self.folder, file.number));
        }
    }

    /// Puts into a checkpoint what is in now: into the sink's folder below that of the checkpoint.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let mut inner = self.inner();
        if inner.files.is_empty() && inner.gone == Epoch(0) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let gone = folder.join(GONE);
        let written = fs::write(&gone, format!("{}\n", inner.gone));
        written.map_err(Error::file("write to", &gone))?;
        if let Some(last) = inner.files.back().filter(|_| !inner.is_sealed) {
            // Beyond its end there may be half of what failed.
            let path = path_of(&self.folder, last.number);
            let cut = last.file.set_len(last.bytes);
            cut.map_err(Error::file("cut", &path))?;
        }
        inner.is_sealed = true;
        for file in &inner.files {
            let path = path_of(&self.folder, file.number);
            let linked = path_of(folder, file.number);
            fs::hard_link(&path, &linked).map_err(Error::file("link", &linked))?;
        }
        Ok(())
    }

    /// How many bytes are in.
    pub fn bytes(&self) -> u64 {
        self.inner().bytes
    }

    /// True if no more should be put in.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.bytes_max
    }

    /// True if nothing is in.
    pub fn is_empty(&self) -> bool {
        self.inner().parcels.is_empty()
    }
}

impl Inner {
    /// The oldest parcels, of about `bytes` together, each with its file.
    fn oldest(&self, bytes: u64) -> Vec<(Entry, Arc<File>)> {
        let mut taken = 0;
        let oldest = self.parcels.iter().take_while(|entry| {
            let is_taken = taken == 0 || taken + entry.bytes <= bytes;
            taken += entry.bytes;
            is_taken
        });
        let with_file = |entry: &Entry| {
            let mut files = self.files.iter();
            let file = files.find(|file| file.number == entry.file);
            let file = file.expect("a file stays as long as a parcel in it");
            (*entry, Arc::clone(&file.file))
        };
        oldest.map(with_file).collect()
    }

    /// Takes the parcels of a file, through an epoch.
    fn take_file(&mut self, path: &Path, number: u64, through: Epoch) -> Result<(), Error> {
        let read = Error::file("read", path);
        let bytes = fs::read(path).map_err(read)?;
        let file = Arc::new(File::open(path).map_err(Error::file("read", path))?);
        let mut at = 0;
        while at < bytes.len() {
            let damaged = |reason| Error::Damaged {
                path: path.to_owned(),
                reason,
            };
            let (parcel, len) = decode(&bytes[at..]).map_err(damaged)?;
            if parcel.epoch <= through {
                self.bytes += len as u64;
                self.parcels.push_back(Entry {
                    epoch: parcel.epoch,
                    file: number,
                    at: at as u64,
                    bytes: len as u64,
                });
            }
            at += len;
        }
        let bytes = bytes.len() as u64;
        self.files.push_back(Parcels {
            number,
            file,
            bytes,
        });
        self.next_number = number + 1;
        Ok(())
    }
}

/// What the file of that name says; nothing is gone where there is none.
fn read_gone(folder: &Path) -> Result<Epoch, Error> {
    let path = folder.join(GONE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Epoch(0)),
        text => text.map_err(Error::file("read", &path))?,
    };
    let epoch = text.trim_end().parse().map(Epoch);
    epoch.map_err(|_| Error::Damaged {
        path,
        reason: format!("'{}' is no epoch", text.trim_end()),
    })
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.{ENDING}"))
}

/// The files of a folder, in order; none if it is not there.
fn numbers(folder: &Path) -> Result<Vec<u64>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("list", folder))?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::file("list", folder))?.path();
        let number: Option<u64> = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if path.extension().is_some_and(|ending| ending == ENDING) {
            numbers.extend(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn encode(parcel: &Parcel) -> Vec<u8> {
    let records = &parcel.records;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + records.arena.len() + 8 * records.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&parcel.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let len = |bytes: usize| u32::try_from(bytes).expect("an epoch's output is below 4 GiB");
    for record in records.iter() {
        bytes.extend_from_slice(&len(record.key.len()).to_be_bytes());
        let value = record.value.map_or(0, |value| value.len() + 1);
        bytes.extend_from_slice(&len(value).to_be_bytes());
        bytes.extend_from_slice(record.key);
        bytes.extend_from_slice(record.value.unwrap_or_default());
    }
    let body = &bytes[HEAD_BYTES..];
    let (body_len, crc32) = (len(body.len()), crc32fast::hash(body));
    bytes[HEAD_BYTES - 8..HEAD_BYTES - 4].copy_from_slice(&body_len.to_be_bytes());
    bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&crc32.to_be_bytes());
    bytes
}

/// The first parcel of some bytes, and how many of them it takes.
fn decode(bytes: &[u8]) -> Result<(Parcel, usize), String> {
    let torn = || format!("a parcel ends after {} bytes", bytes.len());
    let mut rest = bytes;
    if take::<4>(&mut rest).ok_or_else(torn)? != MAGIC {
        return Err("it has no parcel where one should begin".to_owned());
    }
    let epoch = Epoch(u64::from_be_bytes(take(&mut rest).ok_or_else(torn)?));
    let len = take_len(&mut rest).ok_or_else(torn)?;
    let crc32 = u32::from_be_bytes(take(&mut rest).ok_or_else(torn)?);
    let mut body = rest.get(..len).ok_or_else(torn)?;
    if crc32fast::hash(body) != crc32 {
        return Err(format!("the parcel of epoch {epoch} has another checksum"));
    }
    let mut records = OutputRecords::default();
    while !body.is_empty() {
        let key_len = take_len(&mut body).ok_or_else(torn)?;
        let value_len = take_len(&mut body).ok_or_else(torn)?;
        let key = body.split_off(..key_len).ok_or_else(torn)?;
        let value = match value_len.checked_sub(1) {
            Some(len) => Some(body.split_off(..len).ok_or_else(torn)?),
            None => None,
        };
        records.push(key, value);
    }
    Ok((Parcel { epoch, records }, HEAD_BYTES + len))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(take(bytes)?)).ok()
}
