//! What the API answers, in JSON.

use serde::Deserialize;
use tidemill_connectors_api::registry::{
    Compatibility, Difference, Reference, Registered, Schema, SchemaId, SchemaKind, SubjectVersion,
};

/// A schema by its id.
#[derive(Debug, Deserialize)]
pub struct SchemaAnswer {
    schema: String,
    /// Left out for Avro.
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<ReferenceAnswer>>,
}

#[derive(Debug, Deserialize)]
struct ReferenceAnswer {
    name: String,
    subject: String,
    version: u32,
}

impl SchemaAnswer {
    /// The schema; an error if its kind is none that we know.
    pub fn schema(self) -> Result<Schema, String> {
        let kind = match self.kind.as_deref() {
            None => SchemaKind::Avro,
            Some(name) => SchemaKind::named(name)
                .ok_or_else(|| format!("there is no schema type '{name}'"))?,
        };
        let references = self.references.unwrap_or_default().into_iter();
        Ok(Schema {
            kind,
            text: self.schema,
            references: references
                .map(|reference| Reference {
                    name: reference.name,
                    subject: reference.subject,
                    version: reference.version,
                })
                .collect(),
        })
    }
}

/// A version of a subject.
#[derive(Debug, Deserialize)]
pub struct Version {
    version: u32,
    id: u32,
    #[serde(flatten)]
    schema: SchemaAnswer,
}

impl Version {
    /// It under its subject; of the schema that was asked for, where it was.
    pub fn registered(self, subject: &str, asked: Option<&Schema>) -> Result<Registered, String> {
        let mut answer = self.schema;
        if let Some(asked) = asked {
            answer
                .kind
                .get_or_insert_with(|| asked.kind.name().to_owned());
        }
        Ok(Registered {
            at: SubjectVersion {
                subject: subject.to_owned(),
                version: self.version,
            },
            id: SchemaId(self.id),
            schema: answer.schema()?,
        })
    }
}

/// Where a schema stands.
#[derive(Debug, Deserialize)]
pub struct Place {
    subject: String,
    version: u32,
}

impl Place {
    pub fn at(self) -> SubjectVersion {
        SubjectVersion {
            subject: self.subject,
            version: self.version,
        }
    }
}

/// A level, of a subject or of all.
#[derive(Debug, Deserialize)]
pub struct Level {
    #[serde(rename = "compatibilityLevel", alias = "compatibility")]
    level: String,
}

impl Level {
    pub fn level(&self) -> Result<Compatibility, String> {
        Compatibility::named(&self.level)
            .ok_or_else(|| format!("there is no compatibility '{}'", self.level))
    }
}

/// Whether a schema is compatible.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    pub is_compatible: bool,
    /// Confluent's words.
    messages: Option<Vec<String>>,
    /// Apicurio's.
    reason: Option<String>,
}

impl Verdict {
    /// Why not, in the registry's words.
    pub fn words(self) -> impl Iterator<Item = Difference> {
        let messages = self.messages.unwrap_or_default().into_iter();
        messages.chain(self.reason).map(|words| {
            let words = tidemill_connectors_http::client::excerpt(&words);
            Difference::new("", format!("the registry says: {words}"))
        })
    }
}
