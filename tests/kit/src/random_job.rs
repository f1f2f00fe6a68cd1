//! Random jobs: from a seed a job of stages behind stages, as a tree and as SQL, and the records that it reads.
//!
//! Small ranges of keys, so that updates and joins collide; duplicates, disorder, late and malformed records, deletes
//! and NULLs. Every upsert sink's key is unique in its view by construction. *Does not promise* to reach what
//! [`Shapes`] leaves out.

mod encodings;
mod expressions;
mod input;
pub mod job;
mod joins;
mod relations;
mod sinks;
mod sources;
mod sql;
pub mod stages;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use input::{InputRecord, SourceInput};
pub use job::Job;
pub use sql::Connector;

/// Sets the draws of histories apart from all others.
const HISTORIES: u64 = 0x6869_7374;

/// Shapes that can be left out while something stands against them.
#[derive(Debug, Clone, Copy)]
pub struct Shapes {
    /// A key of a table without `VERSION BY` may have events in several partitions.
    pub keys_that_move: bool,
    /// Streams are joined with streams, which keeps every event of both for ever.
    pub stream_joins: bool,
    /// What is read may fail behind what keeps state, too.
    pub failures_behind_state: bool,
    /// A resequencing within no time at all: an event at the very time that is reached is in time.
    pub resequence_at_once: bool,
    /// Windows of rows that only come are over some time after they were closed, and not for ever corrected.
    pub windows_that_end: bool,
    /// Records have keys, which `upsert` needs.
    pub keyed_records: bool,
    /// Records have headers, and are of all encodings and modes.
    pub encodings: bool,
}

impl Default for Shapes {
    fn default() -> Self {
        Self {
            keys_that_move: true,
            stream_joins: false,
            failures_behind_state: true,
            resequence_at_once: true,
            windows_that_end: true,
            keyed_records: true,
            encodings: true,
        }
    }
}

/// A job and what it reads.
#[derive(Debug, Clone)]
pub struct Case {
    /// The job.
    pub job: Job,
    /// The records of each of its sources.
    pub input: Vec<SourceInput>,
}

/// The case of a seed.
#[must_use]
pub fn draw(seed: u64) -> Case {
    draw_of(seed, Shapes::default())
}

/// The case of a seed, of some shapes.
#[must_use]
pub fn draw_of(seed: u64, shapes: Shapes) -> Case {
    let mut draft = Draft {
        rng: ChaCha8Rng::seed_from_u64(seed),
        shapes,
        job: Job {
            seed,
            sources: Vec::new(),
            relations: Vec::new(),
            sinks: Vec::new(),
        },
        uses: Vec::new(),
        names: 0,
    };
    draft.sources();
    draft.relations();
    draft.sinks();
    let input = (0..draft.job.sources.len())
        .map(|source| draft.input(source))
        .collect();
    let mut case = Case {
        job: draft.job,
        input,
    };
    if shapes.encodings {
        encodings::draw(&mut case, seed);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ HISTORIES);
    for source in &mut case.job.sources {
        source.has_history = rng.random_range(0..4) == 0;
    }
    case
}

/// A job while it is drawn.
struct Draft {
    rng: ChaCha8Rng,
    shapes: Shapes,
    job: Job,
    /// How many readers each relation has.
    uses: Vec<usize>,
    /// How many columns were named.
    names: usize,
}
