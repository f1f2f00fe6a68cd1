//! A record that could not be used, with all that a person needs to find and repair it.

/// An undecodable record: where it was read, why it was refused, and its bytes, untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Topic (or folder) that the record was read from.
    pub topic: String,
    /// Partition of the topic.
    pub partition: u32,
    /// Offset in the partition.
    pub offset: i64,
    /// Why it was refused, in lower case, with the field at fault.
    pub reason: String,
    /// The record as read.
    pub bytes: Vec<u8>,
}
