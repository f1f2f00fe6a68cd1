//! What a topic's records are agreed to look like: the schema that a job was planned with, and those that the records' writers had.

use std::fmt;
use std::sync::Arc;

use super::Error;
use crate::options::Options;

/// A schema, with the texts that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// Its text.
    pub text: String,
    /// The name and the text of each schema that it refers to, also over others, in an order in which they can be read.
    pub references: Vec<(String, String)>,
}

/// A version of a subject, as a job is planned with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The subject.
    pub subject: String,
    /// The version, counted from 1.
    pub version: u32,
    /// The number that writers put in front of their records.
    pub id: u32,
    /// The schema.
    pub schema: SchemaText,
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' version {} (id {})",
            self.subject, self.version, self.id
        )
    }
}

/// The schema that records were written by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterSchema {
    /// The schema.
    pub schema: SchemaText,
    /// The subjects that it stands under, and as which version of each.
    pub places: Vec<(String, u32)>,
}

impl WriterSchema {
    /// The subject that it is meant by, and the version: of those that it stands under the planned one, or else the first.
    #[must_use]
    pub fn place(&self, planned: Option<&str>) -> Option<&(String, u32)> {
        let is_planned = |(subject, _): &&(String, u32)| Some(&**subject) == planned;
        let place = self.places.iter().find(is_planned);
        place.or_else(|| self.places.first())
    }
}

/// The schemas that the records of a source name.
pub trait Schemas: fmt::Debug + Send + Sync {
    /// The schema of a number; none if the registry has none. Always the same answer.
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>>;
}

/// What a decoder knows of a source's contracts.
#[derive(Debug, Clone, Copy)]
pub struct Contracts<'a> {
    /// What the job was planned with; none if the subject has no version yet.
    pub pinned: Option<&'a Contract>,
    /// What the records name.
    pub schemas: &'a Arc<dyn Schemas>,
}

/// Where contracts are found while planning.
pub trait ContractBook {
    /// The options that say which registry, and how it is reached.
    fn options(&self) -> &'static [&'static str];

    /// A version of a subject, or the newest; none if there is no such.
    ///
    /// # Errors
    /// [`Error::Registry`] if the options are wrong, or the registry does not answer.
    fn contract(
        &self,
        registry: &Options,
        subject: &str,
        version: Option<u32>,
    ) -> Result<Option<Contract>, Error>;

    /// Why a registry is not asked, so that it is not known whether it has a subject; none where it is.
    fn unasked(&self, _registry: &Options) -> Option<String> {
        None
    }
}

/// No registry.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContracts;

impl ContractBook for NoContracts {
    fn options(&self) -> &'static [&'static str] {
        &[]
    }

    fn contract(&self, _: &Options, _: &str, _: Option<u32>) -> Result<Option<Contract>, Error> {
        Ok(None)
    }
}

/// The number of the schema that stands in front of a record: after a zero byte, in four bytes, as Confluent's serializers write it.
///
/// ```
/// use tidemill_types::format::framed_schema;
///
/// assert_eq!(framed_schema(&[0, 0, 0, 1, 2, 99]), Some(258));
/// assert_eq!(framed_schema(b"{}"), None);
/// ```
#[inline]
#[must_use]
pub const fn framed_schema(record: &[u8]) -> Option<u32> {
    match record {
        &[0, a, b, c, d, ..] => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    }
}
