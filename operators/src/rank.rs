//! Which of two events about the same key is the newer one.

use crate::columns;
use arrow_array::RecordBatch;
use arrow_schema::ArrowError;

/// The order of events about one key: the higher version is newer; a tie goes to the later source position. A null version is older
/// than every other. Where the table declares no version, the time at which the record was written stands in for it within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Version (event time or a counter); `i64::MIN` for null.
    pub version: i64,
    /// Source partition.
    pub partition: u32,
    /// Offset in the partition.
    pub offset: i64,
}

impl Rank {
    /// Bytes of an encoded rank.
    pub const BYTES: usize = 20;

    /// Encodes the rank, big endian.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.partition.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
    }

    /// Decodes a rank; `None` if the bytes are too few.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(Self {
            version: i64::from_be_bytes(*version),
            partition: u32::from_be_bytes(*partition),
            offset: i64::from_be_bytes(*offset),
        })
    }
}

/// The rank of every row, from the version column and the position columns.
///
/// # Errors
/// If the version column cannot be ordered.
pub fn ranks(
    rows: &RecordBatch,
    version: usize,
    partition: usize,
    offset: usize,
) -> Result<Vec<Rank>, ArrowError> {
    let versions = columns::ordinals(rows.column(version))?;
    let partitions = columns::partitions(rows.column(partition));
    let offsets = columns::offsets(rows.column(offset));
    Ok((0..rows.num_rows())
        .map(|i| Rank {
            version: versions[i].unwrap_or(i64::MIN),
            partition: partitions[i],
            offset: offsets[i],
        })
        .collect())
}
