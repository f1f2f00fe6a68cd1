//! What a job has learned from its registry, kept in its state directory, so that a restart needs no registry and a replay decides as the first
//! run did.
//!
//! ```text
//! ids/7.json            the schema of an id
//! ids/9.absent          the registry said that there is no such id
//! places/7.json         where it stood, when a message first named it
//! versions/….json       a version of a subject
//! registered/….json     what a subject and a schema of a sink got
//! latest/….json         the newest version of a subject, when it was first asked for: it is pinned
//! ```
//!
//! Why also absence is kept: the first run made dead letters of an id that was none, and committed that. Had somebody registered the id before
//! the replay, it would make rows of the same records, and other output than what is committed (P-REPLAY). Who wants those records to be read
//! after all stops the job, deletes the file, and reads them again as he would after any mend.
//!
//! Promises: an answer is on disk before anybody gets it; a damaged file of an immutable answer is asked for again, one of an answer that could
//! be another today (a pin, places) is `Corrupt`. What is not kept (lists, levels, differences) is asked of the registry each time.
//! Does not promise to notice that a registry changed its mind, which none does of an id. Nothing is ever deleted.

mod unknown;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{
    Compatibility, Difference, Reference, Registered, Registry, Schema, SchemaId, SchemaKind,
    SubjectVersion,
};
use tidemill_types::ErrorKind;

use crate::disk;
use unknown::Unknown;

/// The beginning of every file, before the SHA-256 of what follows.
const HEAD: &str = "tidemill contract 1 ";
/// How many bytes a file may have: a schema, with each byte escaped at worst, and its references.
const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A registry with its answers on disk.
#[derive(Debug)]
pub struct Cached<R> {
    registry: R,
    folder: PathBuf,
    /// How many unknown ids are asked for, where that is bounded.
    unknown: Option<Unknown>,
}

/// What keeps a [`Schema`] on disk.
#[derive(Serialize, Deserialize)]
struct Kept {
    kind: String,
    text: String,
    references: Vec<KeptReference>,
}

#[derive(Serialize, Deserialize)]
struct KeptReference {
    name: String,
    subject: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct KeptVersion {
    subject: String,
    version: u32,
    id: u32,
    schema: Kept,
}

#[derive(Serialize, Deserialize)]
struct KeptPlace {
    subject: String,
    version: u32,
}

impl<R: Registry> Cached<R> {
    /// A registry whose answers are kept in a folder, which is made with the first of them.
    pub fn new(registry: R, folder: impl Into<PathBuf>) -> Self {
        Self {
            registry,
            folder: folder.into(),
            unknown: None,
        }
    }

    /// The same, which asks for at most so many ids a second that the registry does not know. Whoever comes then is told to come again: one
    /// that garbage leads here neither floods the registry nor the folder.
    #[must_use]
    pub fn with_unknown_a_second(self, max: usize) -> Self {
        Self {
            unknown: Some(Unknown::new(max)),
            ..self
        }
    }

    /// The registry itself.
    pub const fn registry(&self) -> &R {
        &self.registry
    }

    /// Asks for the newest version of a subject again, and pins that: for a new deployment.
    ///
    /// # Errors
    /// As [`Registry::latest`]; the old pin stays then, and where there is no such subject.
    pub fn pin_latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        let latest = self.registry.latest(subject)?;
        if let Some(latest) = &latest {
            self.keep(&self.path("latest", &[subject]), &KeptVersion::from(latest))?;
        }
        Ok(latest)
    }

    fn path(&self, part: &str, of: &[&str]) -> PathBuf {
        self.folder
            .join(part)
            .join(format!("{}.json", disk::hash(of)))
    }

    fn of_id(&self, part: &str, id: SchemaId, ending: &str) -> PathBuf {
        self.folder.join(part).join(format!("{id}.{ending}"))
    }

    fn keep<T: Serialize>(&self, path: &Path, kept: &T) -> Result<(), Error> {
        let body = serde_json::to_string(kept).expect("names, texts and numbers are JSON");
        let text = format!("{HEAD}{}\n{body}\n", disk::hash(&[&body]));
        if let Some(folder) = path.parent() {
            disk::make_folder(folder)?;
        }
        disk::replace(path, text.as_bytes())
    }
}

impl<R: Registry> Registry for Cached<R> {
    fn schema(&self, id: SchemaId) -> Result<Option<Schema>, Error> {
        let (path, absent) = (
            self.of_id("ids", id, "json"),
            self.of_id("ids", id, "absent"),
        );
        if let Found::Whole(kept) = found::<Kept>(&path)?
            && let Some(schema) = kept.schema()
        {
            return Ok(Some(schema));
        }
        if disk::read(&absent, FILE_BYTES_MAX)?.is_some() {
            return Ok(None);
        }
        let bound = self.unknown.as_ref();
        bound.map_or(Ok(()), |unknown| unknown.admit(Instant::now()))?;
        let answer = self.registry.schema(id)?;
        match &answer {
            Some(schema) => self.keep(&path, &Kept::from(schema))?,
            None => {
                self.keep(&absent, &"the registry has no schema of this id")?;
                if let Some(unknown) = bound {
                    unknown.count(Instant::now());
                }
            }
        }
        Ok(answer)
    }

    fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>, Error> {
        let path = self.of_id("places", id, "json");
        match found::<Vec<KeptPlace>>(&path)? {
            Found::Whole(places) => return Ok(places.into_iter().map(KeptPlace::place).collect()),
            Found::Damaged => return Err(damaged(&path)),
            Found::Nothing => {}
        }
        let places = self.registry.places(id)?;
        let kept = places.iter().map(KeptPlace::from);
        self.keep(&path, &kept.collect::<Vec<_>>())?;
        Ok(places)
    }

    fn subjects(&self) -> Result<Vec<String>, Error> {
        self.registry.subjects()
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, Error> {
        self.registry.versions(subject)
    }

    fn version(&self, subject: &str, version: u32) -> Result<Option<Registered>, Error> {
        let path = self.path("versions", &[subject, &version.to_string()]);
        if let Found::Whole(kept) = found::<KeptVersion>(&path)?
            && let Some(registered) = kept.registered()
        {
            return Ok(Some(registered));
        }
        let answer = self.registry.version(subject, version)?;
        if let Some(registered) = &answer {
            self.keep(&path, &KeptVersion::from(registered))?;
        }
        Ok(answer)
    }

    /// The pinned version: what was the newest when it was first asked for. See [`Cached::pin_latest`].
    fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        let path = self.path("latest", &[subject]);
        match found::<KeptVersion>(&path)? {
            Found::Whole(kept) => kept.registered().map(Some).ok_or_else(|| damaged(&path)),
            Found::Damaged => Err(damaged(&path)),
            Found::Nothing => self.pin_latest(subject),
        }
    }

    fn level(&self, subject: &str) -> Result<Compatibility, Error> {
        self.registry.level(subject)
    }

    fn differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error> {
        self.registry.differences(subject, schema)
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<Registered, Error> {
        let asked = serde_json::to_string(&Kept::from(schema));
        let asked = asked.expect("names, texts and numbers are JSON");
        let path = self.path("registered", &[subject, &asked]);
        if let Found::Whole(kept) = found::<KeptVersion>(&path)?
            && let Some(registered) = kept.registered()
        {
            return Ok(registered);
        }
        let registered = self.registry.register(subject, schema)?;
        self.keep(&path, &KeptVersion::from(&registered))?;
        Ok(registered)
    }
}

/// What a file holds.
enum Found<T> {
    Nothing,
    Damaged,
    Whole(T),
}

fn found<T: DeserializeOwned>(path: &Path) -> Result<Found<T>, Error> {
    let text = match disk::read(path, FILE_BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(Found::Nothing),
        // What is no text, or far too long, was not written here.
        Err(error) if error.kind == ErrorKind::Invalid && path.is_file() => {
            return Ok(Found::Damaged);
        }
        Err(error) => return Err(error),
    };
    let whole = text.strip_prefix(HEAD).and_then(|rest| {
        let (hash, body) = rest.split_once('\n')?;
        let body = body.strip_suffix('\n')?;
        (disk::hash(&[body]) == hash).then_some(body)
    });
    let kept = whole.and_then(|body| serde_json::from_str(body).ok());
    Ok(kept.map_or(Found::Damaged, Found::Whole))
}

fn damaged(path: &Path) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "'{}' is damaged, which holds what the registry answered; restore it from a backup, or delete it to ask again, and what was \
             decided by it may be decided otherwise",
            path.display()
        ),
    )
}

impl From<&Schema> for Kept {
    fn from(schema: &Schema) -> Self {
        let references = schema.references.iter().map(|reference| KeptReference {
            name: reference.name.clone(),
            subject: reference.subject.clone(),
            version: reference.version,
        });
        Self {
            kind: schema.kind.name().to_owned(),
            text: schema.text.clone(),
            references: references.collect(),
        }
    }
}

impl Kept {
    /// `None` if its kind is of a later version.
    fn schema(self) -> Option<Schema> {
        let references = self.references.into_iter().map(|reference| Reference {
            name: reference.name,
            subject: reference.subject,
            version: reference.version,
        });
        Some(Schema {
            kind: SchemaKind::named(&self.kind)?,
            text: self.text,
            references: references.collect(),
        })
    }
}

impl From<&Registered> for KeptVersion {
    fn from(registered: &Registered) -> Self {
        Self {
            subject: registered.at.subject.clone(),
            version: registered.at.version,
            id: registered.id.0,
            schema: Kept::from(&registered.schema),
        }
    }
}

impl KeptVersion {
    fn registered(self) -> Option<Registered> {
        Some(Registered {
            at: SubjectVersion {
                subject: self.subject,
                version: self.version,
            },
            id: SchemaId(self.id),
            schema: self.schema.schema()?,
        })
    }
}

impl From<&SubjectVersion> for KeptPlace {
    fn from(place: &SubjectVersion) -> Self {
        Self {
            subject: place.subject.clone(),
            version: place.version,
        }
    }
}

impl KeptPlace {
    fn place(self) -> SubjectVersion {
        SubjectVersion {
            subject: self.subject,
            version: self.version,
        }
    }
}
