//! Registries of schemas: Confluent's API over HTTP, and a folder of files that can be kept in git. Both behind one port,
//! [`tidemill_connectors_api::Registry`], with a cache on disk before either.
//!
//! Promises: an id is answered with the same bytes for ever, or not at all; every call ends within a bound, in time and in bytes; no secret of
//! the options is in a message or in `Debug`; no URL leads to where the [policy](tidemill_connectors_http::guard::Policy) does not allow, nor does what answers there.
//! Does not promise to check JSON Schemas for compatibility: only a registry does.

pub mod cache;
pub mod compatibility;
pub mod confluent;
pub mod options;

mod avro;
mod disk;
mod folder;
mod protobuf;

use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{NamedSchema, Registry, Schema, with_references};
use tidemill_types::ErrorKind;

pub use cache::Cached;
pub use compatibility::diff;
pub use confluent::Confluent;
pub use folder::Folder;

/// A schema with all that it refers to, which is what it takes to understand it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The schema.
    pub schema: Schema,
    /// In an order in which they can be read: see [`with_references`].
    pub references: Vec<NamedSchema>,
}

impl Whole {
    /// A schema with what it refers to, as the registry has it.
    ///
    /// # Errors
    /// As [`with_references`].
    pub fn of<R: Registry + ?Sized>(registry: &R, schema: Schema) -> Result<Self, Error> {
        let references = with_references(registry, &schema)?;
        Ok(Self { schema, references })
    }

    /// A schema that refers to no other.
    #[must_use]
    pub const fn alone(schema: Schema) -> Self {
        Self {
            schema,
            references: Vec::new(),
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
