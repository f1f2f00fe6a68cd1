//! Random draws that depend on nothing but the seed and a place: an entity, a slot, a block. No draw depends on another place's draws,
//! which is why any thread can generate any part.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// What is drawn for; keeps draws of different kinds apart.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// The first state of the entity `number` of a kind (its topic's index).
    Entity(usize),
    /// What happens in slot `number`.
    Slot,
    /// The uuid of the event in slot `number`.
    Uuid,
    /// The garbage beside slot `number`.
    Garbage,
    /// The order of arrival in block `number`.
    Arrival,
    /// The pattern of slots.
    Pattern,
    /// Popularity and temper of the production `number`.
    Temper,
}

impl Place {
    const fn salt(self) -> u64 {
        match self {
            Self::Entity(kind) => 100 + kind as u64,
            Self::Slot => 1,
            Self::Uuid => 2,
            Self::Garbage => 3,
            Self::Arrival => 4,
            Self::Pattern => 5,
            Self::Temper => 6,
        }
    }
}

/// A sequence of draws.
pub struct Draw(Xoshiro256PlusPlus);

impl Draw {
    /// The draws of one place.
    pub fn at(seed: u64, place: Place, number: u64) -> Self {
        // Odd constants spread neighbours apart; the generator's own seeding mixes the bits.
        let mixed = seed
            ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93)
            ^ place
                .salt()
                .wrapping_mul(0xa076_1d64_78bd_642f)
                .rotate_left(32);
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 up to, not including, `bound` (at least 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    /// A number in a range, both ends included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    /// A number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// True in a share of all draws.
    pub fn share(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// One of the values.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index(values.len())]
    }

    /// An index below `len` (at least 1).
    pub fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }

    /// A rank from 1 to `ranks` (at least 1), rank k about 1/k as often as rank 1 (Zipf's law with exponent 1, by its integral).
    pub fn zipf(&mut self, ranks: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "clamped to the ranks"
        )]
        let rank = (self.unit() * ((ranks + 1) as f64).ln()).exp() as u64;
        rank.clamp(1, ranks)
    }

    /// An amount in cents, log-uniform-like around the middle of `10^low..10^high`.
    pub fn amount(&mut self, low: f64, high: f64) -> i64 {
        let middle = (self.unit() + self.unit() + self.unit()) / 3.0;
        scaled(1.0, 10_f64.powf(low + (high - low) * middle))
    }
}

/// An amount times a factor, in whole cents, at least one.
pub fn scaled(amount: f64, factor: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "amounts stay below 10^15 cents"
    )]
    let cents = (amount * factor).round() as i64;
    cents.max(1)
}
