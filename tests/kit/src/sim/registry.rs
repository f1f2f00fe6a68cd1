//! A registry in memory, which can be away, by a seed: before it did what it was asked, or after, when only the answer is lost.
//!
//! Catches: what takes an unanswered question for an answer. Cannot catch: what a real server does otherwise; it passes the same contracts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidemill_connectors_api::registry::{
    Compatibility, Difference, Registered, Registry, Schema, SchemaId, SubjectVersion,
};
use tidemill_connectors_api::{Error, Options};
use tidemill_connectors_registry::{Cached, Whole, compatibility};
use tidemill_engine::contracts::{Registries, planned};
use tidemill_types::ErrorKind;
use tidemill_types::format::{self, Contract, ContractBook};

/// The registry; a clone is another client of it.
#[derive(Debug, Clone)]
pub struct SimRegistry(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: ChaCha8Rng,
    away_per_mille: u32,
    asked: u64,
    /// By id, from 1.
    schemas: Vec<Schema>,
    /// The ids of a subject's versions.
    subjects: BTreeMap<String, Vec<SchemaId>>,
    levels: BTreeMap<String, Compatibility>,
}

impl Registries for SimRegistry {
    fn open(&self, _: &Options, kept: &Path) -> Result<Arc<dyn Registry>, Error> {
        Ok(Arc::new(Cached::new(self.clone(), kept)))
    }
}

impl ContractBook for SimRegistry {
    fn options(&self) -> &'static [&'static str] {
        &["schema.registry.url"]
    }

    fn contract(
        &self,
        _: &Options,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Option<Contract>, format::Error> {
        planned(self, subject, version)
    }
}

impl SimRegistry {
    /// An empty one, which answers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: ChaCha8Rng::seed_from_u64(seed),
            away_per_mille: 0,
            asked: 0,
            schemas: Vec::new(),
            subjects: BTreeMap::new(),
            levels: BTreeMap::new(),
        })))
    }

    /// How many of a thousand questions fail: half of them before anything is done, half after.
    pub fn set_away(&self, per_mille: u32) {
        self.lock().away_per_mille = per_mille;
    }

    /// Sets the level of a subject.
    pub fn set_level(&self, subject: &str, level: Compatibility) {
        self.lock().levels.insert(subject.to_owned(), level);
    }

    /// How many questions there were, answered or not.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.lock().asked
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one question.
    fn ask<T>(&self, question: impl FnOnce(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let mut state = self.lock();
        state.asked += 1;
        let (is_away, is_before) = {
            let per_mille = state.away_per_mille;
            let random = &mut state.random;
            (random.random_range(0..1000) < per_mille, random.random())
        };
        if is_away && is_before {
            return Err(away());
        }
        let answer = question(&mut state);
        if is_away { Err(away()) } else { answer }
    }

    fn compared(&self, subject: &str, new: &Whole) -> Result<Vec<Difference>, Error> {
        compatibility::check(new)?;
        let level = self.level(subject)?;
        let mut versions = self.versions(subject)?;
        if !level.is_transitive() {
            versions.drain(..versions.len().saturating_sub(1));
        }
        let mut found = Vec::new();
        for version in versions {
            if let Some(older) = self.version(subject, version)? {
                let whole = Whole::of(self, older.schema)?;
                found.extend(compatibility::incompatible(
                    level,
                    (&older.at, &whole),
                    new,
                )?);
            }
        }
        Ok(found)
    }
}

fn away() -> Error {
    Error::new(
        ErrorKind::Retry,
        "the simulated registry is away; ask again",
    )
}

impl State {
    fn registered(&self, subject: &str, version: u32) -> Option<Registered> {
        let place = usize::try_from(version).ok()?.checked_sub(1)?;
        let id = *self.subjects.get(subject)?.get(place)?;
        Some(Registered {
            at: SubjectVersion {
                subject: subject.to_owned(),
                version,
            },
            id,
            schema: self.schema(id)?,
        })
    }

    fn schema(&self, id: SchemaId) -> Option<Schema> {
        let place = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.schemas.get(place).cloned()
    }

    fn count(&self, subject: &str) -> u32 {
        let versions = self.subjects.get(subject).map_or(0, Vec::len);
        u32::try_from(versions).unwrap_or(u32::MAX)
    }

    fn register(&mut self, subject: &str, schema: &Schema) -> Option<Registered> {
        let known = self.schemas.iter().position(|known| known == schema);
        let place = known.unwrap_or_else(|| {
            self.schemas.push(schema.clone());
            self.schemas.len() - 1
        });
        let id = SchemaId(u32::try_from(place).unwrap_or(u32::MAX) + 1);
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        let at = versions.iter().position(|known| *known == id);
        let at = at.unwrap_or_else(|| {
            versions.push(id);
            versions.len() - 1
        });
        self.registered(subject, u32::try_from(at).unwrap_or(u32::MAX) + 1)
    }
}

impl Registry for SimRegistry {
    fn schema(&self, id: SchemaId) -> Result<Option<Schema>, Error> {
        self.ask(|state| Ok(state.schema(id)))
    }

    fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>, Error> {
        self.ask(|state| {
            let mut places = Vec::new();
            for (subject, ids) in &state.subjects {
                for (version, _) in (1..).zip(ids).filter(|(_, of)| **of == id) {
                    let subject = subject.clone();
                    places.push(SubjectVersion { subject, version });
                }
            }
            Ok(places)
        })
    }

    fn subjects(&self) -> Result<Vec<String>, Error> {
        self.ask(|state| Ok(state.subjects.keys().cloned().collect()))
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, Error> {
        self.ask(|state| Ok((1..=state.count(subject)).collect()))
    }

    fn version(&self, subject: &str, version: u32) -> Result<Option<Registered>, Error> {
        self.ask(|state| Ok(state.registered(subject, version)))
    }

    fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        self.ask(|state| Ok(state.registered(subject, state.count(subject))))
    }

    fn level(&self, subject: &str) -> Result<Compatibility, Error> {
        self.ask(|state| Ok(state.levels.get(subject).copied().unwrap_or_default()))
    }

    fn differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error> {
        self.compared(subject, &Whole::of(self, schema.clone())?)
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<Registered, Error> {
        for version in self.versions(subject)? {
            let known = self.version(subject, version)?;
            if let Some(known) = known.filter(|known| known.schema == *schema) {
                return Ok(known);
            }
        }
        let differences = self.differences(subject, schema)?;
        if !differences.is_empty() {
            return Err(compatibility::refused(subject, &differences));
        }
        self.ask(|state| {
            let registered = state.register(subject, schema);
            registered.ok_or_else(|| Error::new(ErrorKind::Bug, "what was registered is gone"))
        })
    }
}
