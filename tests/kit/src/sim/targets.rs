//! The connector `simtarget`: sinks that are delivered, to targets that refuse, take half, and lose their answers.
//!
//! A target keeps what it has by key, each with the epoch that it is of, and how far it came; and for who checks, every epoch's parcel. It is as
//! forgetful as the worst of the real ones: what it took may come again, and no owner before is kept out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidemill_connectors_api::{
    Connector, ConnectorOptions, Delivery, DeliverySpec, Error, Rejected, SinkKind,
};
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind, Parcel};

/// What targets do, each in per mille of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetFaults {
    /// A call fails before it had any effect.
    pub refused: u32,
    /// Some parcels arrive, the last of them in part, and the target does not know how far it came.
    pub half: u32,
    /// Everything arrives, and the answer is lost.
    pub answer_lost: u32,
    /// From now on every call fails, for so many calls.
    pub away: u32,
}

impl TargetFaults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        refused: 0,
        half: 0,
        answer_lost: 0,
        away: 0,
    };
}

/// How many calls a target that goes away does not answer.
const AWAY_CALLS: u32 = 30;

/// Key and value of a record.
pub type Pair = (Vec<u8>, Option<Vec<u8>>);

/// What a sink's target has.
#[derive(Debug, Default)]
struct OfSink {
    history: Option<String>,
    through: u64,
    /// By key: the epoch that brought it, and the value, or that there is none.
    states: BTreeMap<Vec<u8>, (u64, Option<Vec<u8>>)>,
    /// Rows without keys: by epoch and place in it.
    rows: BTreeMap<(u64, usize), Vec<u8>>,
    /// Every epoch's parcel.
    parcels: BTreeMap<u64, Vec<Pair>>,
}

/// All targets of a world.
#[derive(Debug)]
pub struct Targets {
    /// What they do.
    pub faults: TargetFaults,
    rng: ChaCha8Rng,
    sinks: BTreeMap<String, OfSink>,
    away_for: u32,
    /// The first thing that must never happen.
    wrong: Option<String>,
}

/// Them, shared.
#[derive(Debug, Clone)]
pub struct SimTargets(Arc<Mutex<Targets>>);

impl SimTargets {
    /// Targets that have nothing, and answer always.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Targets {
            faults: TargetFaults::NONE,
            rng: ChaCha8Rng::seed_from_u64(seed),
            sinks: BTreeMap::new(),
            away_for: 0,
            wrong: None,
        })))
    }

    /// The options that there are.
    #[must_use]
    pub fn known() -> ConnectorOptions {
        ConnectorOptions {
            name: "simtarget",
            source: Vec::new(),
            sink: vec!["topic"],
            target: "topic",
            sinks: SinkKind::Delivered {
                formats: &["json", "csv", "avro", "protobuf", "raw"],
            },
        }
    }

    /// Takes hold of them.
    pub fn lock(&self) -> MutexGuard<'_, Targets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connector for SimTargets {
    fn options(&self) -> ConnectorOptions {
        Self::known()
    }

    fn delivery(&self, spec: &DeliverySpec<'_>) -> Result<Box<dyn Delivery>, Error> {
        let sink = spec.options.get("topic").cloned();
        Ok(Box::new(SimDelivery {
            targets: self.clone(),
            sink: sink.unwrap_or_else(|| spec.name.to_owned()),
            is_keyed: spec.contents != Contents::Rows,
            history: None,
            brought: 0,
        }))
    }
}

impl Targets {
    /// What must never happen, if it did.
    #[must_use]
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Every parcel that a sink's target was given, by epoch.
    #[must_use]
    pub fn parcels(&self, sink: &str) -> BTreeMap<u64, Vec<Pair>> {
        let of = self.sinks.get(sink);
        of.map(|of| of.parcels.clone()).unwrap_or_default()
    }

    /// Whether a sink's target has what all its parcels together leave.
    ///
    /// # Errors
    /// If it has not.
    pub fn check_whole(&self, sink: &str) -> Result<(), String> {
        let Some(of) = self.sinks.get(sink) else {
            return Ok(());
        };
        for (epoch, pairs) in &of.parcels {
            for (place, (key, value)) in pairs.iter().enumerate() {
                let is_there = match of.states.get(key) {
                    Some((newest, there)) => newest > epoch || newest == epoch && there == value,
                    None => of.rows.get(&(*epoch, place)) == value.as_ref(),
                };
                if !is_there {
                    return Err(format!(
                        "'{sink}' lacks record {place} of epoch {epoch} in the end"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The values that a sink's target has.
    #[must_use]
    pub fn values(&self, sink: &str) -> Vec<Vec<u8>> {
        let Some(of) = self.sinks.get(sink) else {
            return Vec::new();
        };
        let states = of.states.values();
        let states = states.filter_map(|(_, value)| value.clone());
        states.chain(of.rows.values().cloned()).collect()
    }

    /// From now on, or no more, no call is answered.
    pub const fn set_away(&mut self, is_away: bool) {
        self.away_for = if is_away { u32::MAX } else { 0 };
    }

    /// True so many times in a thousand.
    fn happens(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.random_range(0..1_000) < per_mille
    }

    /// Fails if the target does not answer now.
    fn answer(&mut self) -> Result<(), Error> {
        if self.away_for == 0 && self.happens(self.faults.away) {
            self.away_for = AWAY_CALLS;
        }
        if self.away_for > 0 {
            self.away_for -= u32::from(self.away_for < u32::MAX);
            return Err(retry("the target is away"));
        }
        if self.happens(self.faults.refused) {
            return Err(retry("the target refuses"));
        }
        Ok(())
    }

    /// Takes the first records of a parcel; what it takes again must be what it took.
    fn take(&mut self, sink: &str, is_keyed: bool, parcel: &Parcel, count: usize) {
        let epoch = parcel.epoch.0;
        let pair = |record: tidemill_types::OutputRecord<'_>| {
            (record.key.to_vec(), record.value.map(<[u8]>::to_vec))
        };
        let pairs: Vec<Pair> = parcel.records.iter().map(pair).collect();
        let of = self.sinks.entry(sink.to_owned()).or_default();
        let before = of.parcels.entry(epoch).or_insert_with(|| pairs.clone());
        if *before != pairs {
            let wrong = format!("epoch {epoch} of '{sink}' was {before:?} and came as {pairs:?}");
            self.wrong.get_or_insert(wrong);
        }
        for (place, (key, value)) in pairs.into_iter().take(count).enumerate() {
            if !is_keyed {
                of.rows.insert((epoch, place), value.unwrap_or_default());
            } else if of.states.get(&key).is_none_or(|(of, _)| *of <= epoch) {
                of.states.insert(key, (epoch, value));
            }
        }
    }
}

struct SimDelivery {
    targets: SimTargets,
    sink: String,
    is_keyed: bool,
    /// Since it is open, the history that it is told.
    history: Option<String>,
    /// The newest epoch that was brought.
    brought: u64,
}

impl Delivery for SimDelivery {
    fn open(&mut self, history: &str) -> Result<Epoch, Error> {
        let mut targets = self.targets.lock();
        targets.answer()?;
        let of = targets.sinks.entry(self.sink.clone()).or_default();
        let known = of.history.get_or_insert_with(|| history.to_owned());
        if known != history {
            let message = format!(
                "'{}' has what history '{known}' brought, and this is '{history}'; empty it",
                self.sink
            );
            targets.wrong.get_or_insert_with(|| message.clone());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        self.history = Some(history.to_owned());
        Ok(Epoch(of.through))
    }

    fn bring(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let mut targets = self.targets.lock();
        if self.history.is_none() || !parcels.is_sorted_by(|a, b| a.epoch < b.epoch) {
            let wrong = format!("'{}' was delivered to out of order", self.sink);
            targets.wrong.get_or_insert(wrong);
        }
        if let Err(error) = targets.answer() {
            self.history = None;
            return Err(error);
        }
        let faults = targets.faults;
        let is_half = targets.happens(faults.half);
        let count = if is_half {
            targets.rng.random_range(1..=parcels.len())
        } else {
            parcels.len()
        };
        let mut rejected = Vec::new();
        for (place, parcel) in parcels[..count].iter().enumerate() {
            let records = parcel.records.len();
            let is_torn = is_half && place + 1 == count;
            let records = if is_torn { records / 2 } else { records };
            let (parcel, refused) = without_misfits(parcel);
            rejected.extend(refused);
            targets.take(&self.sink, self.is_keyed, &parcel, records);
        }
        if is_half {
            self.history = None;
            return Err(retry("the connection was lost on the way"));
        }
        self.brought = parcels.last().map_or(0, |parcel| parcel.epoch.0);
        Ok(rejected)
    }

    fn settle(&mut self) -> Result<(), Error> {
        let mut targets = self.targets.lock();
        if let Err(error) = targets.answer() {
            self.history = None;
            return Err(error);
        }
        let of = targets.sinks.entry(self.sink.clone()).or_default();
        of.through = of.through.max(self.brought);
        let faults = targets.faults;
        if targets.happens(faults.answer_lost) {
            self.history = None;
            return Err(retry("the answer was lost"));
        }
        Ok(())
    }
}

/// What no target takes: a value with this in it.
pub const MISFIT: &str = "a misfit";

fn without_misfits(parcel: &Parcel) -> (Parcel, Vec<Rejected>) {
    let mut taken = Parcel {
        epoch: parcel.epoch,
        ..Parcel::default()
    };
    let mut rejected = Vec::new();
    for (place, record) in parcel.records.iter().enumerate() {
        let value = record.value.unwrap_or_default();
        let mut windows = value.windows(MISFIT.len());
        if windows.any(|window| window == MISFIT.as_bytes()) {
            rejected.push(Rejected {
                epoch: parcel.epoch,
                record: place,
                reason: "it does not fit".to_owned(),
            });
        } else {
            taken.records.push_record(record);
        }
    }
    (taken, rejected)
}

fn retry(message: &str) -> Error {
    Error::new(ErrorKind::Retry, message)
}
