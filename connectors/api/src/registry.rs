//! The port to a registry of schemas: what a topic's records are agreed to look like, by *subject* and *version*, and by the *id* that a
//! writer puts in front of its records.
//!
//! Promises: an id, once it was answered with a schema, is answered with the same bytes for ever; so a replay decodes as the first run did.
//! "The registry knows no such id" (`None`) is never said by a registry that is away, which is a `Retry`.
//! Does not promise that what is newest stays it: [`Registry::latest`] answers of now. Who must not be surprised, pins it.

mod names;
mod references;

use std::fmt;

use crate::Error;

pub use references::{NamedSchema, REFERENCED_MAX, with_references};
pub use tidemill_types::format::SchemaKind;

/// How many bytes the text of one schema may have: a longer one is refused, wherever it comes from.
pub const SCHEMA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The number that a writer puts in front of its records; the registry gives it to a schema once and for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Another schema that a schema's text refers to: a named type of Avro, an import of Protobuf, a `$ref` of JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// As the text calls it: the full name of a type, or the path of an import.
    pub name: String,
    /// The subject that it is registered under.
    pub subject: String,
    /// Which version of that.
    pub version: u32,
}

/// A schema, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: String,
    /// What the text refers to, of itself: what those refer to is theirs. See [`with_references`].
    pub references: Vec<Reference>,
}

impl Schema {
    /// A schema that refers to no other.
    ///
    /// ```
    /// use tidemill_connectors_api::registry::{Schema, SchemaKind};
    ///
    /// let schema = Schema::new(SchemaKind::Avro, r#""string""#);
    /// assert!(schema.references.is_empty());
    /// ```
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            references: Vec::new(),
        }
    }
}

/// One version of a subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectVersion {
    /// The subject, mostly a topic's name with `-value` or `-key` behind it.
    pub subject: String,
    /// Counted from 1.
    pub version: u32,
}

impl fmt::Display for SubjectVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' version {}", self.subject, self.version)
    }
}

/// A schema under its subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Registered {
    /// Where it stands.
    pub at: SubjectVersion,
    /// Its id.
    pub id: SchemaId,
    /// The schema.
    pub schema: Schema,
}

/// What a subject's next version must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Compatibility {
    /// Nothing.
    None,
    /// Read what the newest version wrote.
    #[default]
    Backward,
    /// Read what any version wrote.
    BackwardTransitive,
    /// Write what the newest version reads.
    Forward,
    /// Write what every version reads.
    ForwardTransitive,
    /// Both, with the newest version.
    Full,
    /// Both, with every version.
    FullTransitive,
}

impl Compatibility {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// True if a new version has to read what older ones wrote.
    #[must_use]
    pub const fn reads_older(self) -> bool {
        matches!(
            self,
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    /// True if older versions have to read what a new one writes.
    #[must_use]
    pub const fn is_read_by_older(self) -> bool {
        matches!(
            self,
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    /// True if every version counts, not the newest alone.
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }
}

/// What keeps a schema from being the next version of a subject, or tells it from another: a sentence, and the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Difference {
    /// The path of the field at fault, its steps joined by dots; empty if it is the schema as a whole.
    pub path: String,
    /// What is so about it, such as "was a string, is a long".
    pub what: String,
}

impl Difference {
    /// A difference at a path.
    pub fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "'{}' {}", self.path, self.what)
        }
    }
}

/// Schemas by subject and by id. One value for all who ask, from any thread; every call may wait for the other side, but never without a bound.
///
/// Errors of every method: `Retry` if the registry is away, too slow, or in trouble of its own; `Invalid` if it refuses (who asks may not, the
/// URL leads to something else, the answer is larger than it may be). Those of a method add to them.
pub trait Registry: Send + Sync {
    /// The schema that an id stands for, `None` if the registry has given that id to none.
    ///
    /// # Errors
    /// `Corrupt` if what lies there is no longer what got the id.
    fn schema(&self, id: SchemaId) -> Result<Option<Schema>, Error>;

    /// Where the schema of an id stands, in order of subject and version; empty if nowhere. For words alone: later it may stand elsewhere, too.
    ///
    /// # Errors
    /// Those of every method.
    fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>, Error>;

    /// All subjects, in order.
    ///
    /// # Errors
    /// Those of every method.
    fn subjects(&self) -> Result<Vec<String>, Error>;

    /// The versions of a subject, in order; empty if there is no such subject.
    ///
    /// # Errors
    /// Those of every method.
    fn versions(&self, subject: &str) -> Result<Vec<u32>, Error>;

    /// One version of a subject, `None` if it does not have it.
    ///
    /// # Errors
    /// Those of every method.
    fn version(&self, subject: &str, version: u32) -> Result<Option<Registered>, Error>;

    /// The newest version of a subject, `None` if there is no such subject.
    ///
    /// # Errors
    /// Those of every method.
    fn latest(&self, subject: &str) -> Result<Option<Registered>, Error>;

    /// A version of a subject, or the newest where none is named.
    ///
    /// # Errors
    /// Those of every method.
    fn find(&self, subject: &str, version: Option<u32>) -> Result<Option<Registered>, Error> {
        match version {
            Some(version) => self.version(subject, version),
            None => self.latest(subject),
        }
    }

    /// What the next version of a subject must be able to do; of a subject that there is not yet, what it would have to.
    ///
    /// # Errors
    /// Those of every method.
    fn level(&self, subject: &str) -> Result<Compatibility, Error>;

    /// What keeps a schema from being the next version of a subject, by the subject's level; empty if nothing does. Changes nothing.
    ///
    /// # Errors
    /// `Invalid` if the schema is none, or refers to what is not there.
    fn differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error>;

    /// Makes a schema the newest version of a subject. One that the subject has already stays where it is: the answer is that version.
    /// Those who register the same at once get one id, and from some servers a version each.
    ///
    /// # Errors
    /// `Invalid` with the differences if the subject's level does not allow it, and as [`Registry::differences`]. After `Retry` it may be
    /// registered or not: to ask again does no harm.
    fn register(&self, subject: &str, schema: &Schema) -> Result<Registered, Error>;
}

impl<R: Registry + ?Sized> Registry for std::sync::Arc<R> {
    fn schema(&self, id: SchemaId) -> Result<Option<Schema>, Error> {
        (**self).schema(id)
    }

    fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>, Error> {
        (**self).places(id)
    }

    fn subjects(&self) -> Result<Vec<String>, Error> {
        (**self).subjects()
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, Error> {
        (**self).versions(subject)
    }

    fn version(&self, subject: &str, version: u32) -> Result<Option<Registered>, Error> {
        (**self).version(subject, version)
    }

    fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        (**self).latest(subject)
    }

    fn level(&self, subject: &str) -> Result<Compatibility, Error> {
        (**self).level(subject)
    }

    fn differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error> {
        (**self).differences(subject, schema)
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<Registered, Error> {
        (**self).register(subject, schema)
    }
}
