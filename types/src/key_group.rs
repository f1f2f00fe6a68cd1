//! Key groups: the unit in which keyed state is owned by workers and moved when a job is rescaled.
//!
//! The hash is xxh3 of the encoded key and is part of the on-disk format: it never changes for a job.

/// How many key groups a job's keys are spread over. Fixed, because keyed state on disk is prefixed by its key group.
pub const KEY_GROUPS: u16 = 4096;

/// The key group of an encoded key.
#[must_use]
pub fn key_group(key: &[u8]) -> u16 {
    // The remainder is below KEY_GROUPS and fits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the remainder is below 4096"
    )]
    let group = (xxhash_rust::xxh3::xxh3_64(key) % u64::from(KEY_GROUPS)) as u16;
    group
}

/// The worker that owns a key group among `workers` workers. Timely routes by `hash % workers`, and so does this.
#[must_use]
pub fn worker_of(group: u16, workers: usize) -> usize {
    usize::from(group) % workers
}
