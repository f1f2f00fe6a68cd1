//! What is simulated: a job with its input, and what may happen to it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::kafka::{Faults, Header};
use super::targets::TargetFaults;

/// A job and all the input that it will ever get.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its statements; sources and sinks have `connector = 'sim'`.
    pub sql: String,
    /// What is there before it begins, and nobody adds to.
    pub histories: Vec<Topic>,
    /// What its sources read. A stage is written once everything of the stage before it is committed.
    pub stages: Vec<Vec<Topic>>,
}

/// Input of a topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Records by partition, in order.
    pub partitions: Vec<Vec<Fed>>,
}

/// A record of the input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fed {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl Fed {
    /// A record without key.
    #[must_use]
    pub const fn of(value: Vec<u8>) -> Self {
        Self {
            key: None,
            value: Some(value),
            headers: Vec::new(),
        }
    }
}

/// What may happen, each in per mille of the simulation's turns.
#[derive(Debug, Clone, Copy)]
pub struct Dangers {
    /// What brokers do.
    pub faults: Faults,
    /// What the targets of deliveries do.
    pub target_faults: TargetFaults,
    /// The process is killed and started again, with any number of workers.
    pub crash: u32,
    /// The process is killed, and what it wrote to its disk is damaged where damage must be survived.
    pub damage: u32,
    /// The power is cut, and what the process wrote to its disk and did not sync is gone, or some of it. See [`super::disk`] for what it takes.
    pub power_cut: u32,
    /// The process is killed and started on a machine without its state directory, or with an old copy of it.
    pub move_away: u32,
    /// The process is stopped, and another one is started elsewhere; the first one continues some time later.
    pub zombie: u32,
    /// Somebody sets the wall clock.
    pub wall_jump: u32,
    /// A checkpoint cannot be written.
    pub disk_full: u32,
    /// What no kept checkpoint needs of a partition is deleted.
    pub retention: u32,
    /// A transaction that was left open expires.
    pub expire: u32,
    /// All that is still to come of a topic is written at once.
    pub backlog: u32,
    /// A topic gets another partition, and producers write to it, too.
    pub grow: u32,
    /// A topic is deleted and made again: the job must be refused, and what it committed until then must be right.
    pub remake: u32,
    /// Input comes in transactions of which some are aborted.
    pub aborted_input: bool,
    /// The logs that are read are a database's: transactions that no epoch may cut, and of what the job has confirmed nothing is left.
    pub is_database: bool,
}

impl Dangers {
    /// Nothing happens.
    pub const NONE: Self = Self {
        faults: Faults::NONE,
        target_faults: TargetFaults::NONE,
        crash: 0,
        damage: 0,
        power_cut: 0,
        move_away: 0,
        zombie: 0,
        wall_jump: 0,
        disk_full: 0,
        retention: 0,
        expire: 0,
        backlog: 0,
        grow: 0,
        remake: 0,
        aborted_input: false,
        is_database: false,
    };

    /// What happens in the simulation of a seed: some of everything, each kind not at all, now and then, or often, so that no danger hides
    /// behind another.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut often = |per_mille: u32| per_mille * [0, 0, 1, 1, 1, 4][rng.random_range(0..6)];
        let mut dangers = Self {
            faults: Faults {
                refused: often(15),
                left_open: often(30),
                answer_lost: often(30),
                delayed: often(30),
                unmarked: 0,
                leader_away: often(100),
                starved: often(5),
                slow: often(20),
            },
            target_faults: TargetFaults::NONE,
            crash: often(8),
            damage: often(2),
            power_cut: 0,
            move_away: often(2),
            zombie: often(4),
            wall_jump: often(3),
            disk_full: often(3),
            retention: often(3),
            expire: often(3),
            aborted_input: often(1) > 0,
            backlog: often(2),
            grow: often(2),
            // The end of everything that comes after: seldom.
            remake: u32::from(often(1) > 1),
            is_database: false,
        };
        // Drawn last: the seeds that were there before it keep their course.
        dangers.faults.unmarked = often(60);
        dangers.target_faults = TargetFaults {
            refused: often(50),
            half: often(50),
            answer_lost: often(50),
            away: often(10),
        };
        dangers.is_database = often(1) > 0;
        dangers
    }
}
