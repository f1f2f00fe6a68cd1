//! Confluent's API over HTTP: their registry, and whatever else speaks it (Apicurio, Redpanda, Karapace).
//!
//! Promises: a question ends within the timeout of its options, and takes at most [`ANSWER_BYTES_MAX`] of an answer; credentials go to the host
//! of the URL and nowhere else. All questions can be asked again without harm, so what fails on the way is tried three times.
//! Does not promise to have an opinion: whether a schema is compatible is the registry's verdict, the words are ours first and then its.
//!
//! Source: "Schema Registry API Reference" in Confluent's documentation, version 7.

mod answers;
mod transport;

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{
    Compatibility, Difference, Registered, Registry, Schema, SchemaId, SchemaKind, SubjectVersion,
};
use tidemill_connectors_http::guard::Policy;
use tidemill_types::ErrorKind;

use crate::options::ConfluentOptions;
use crate::{Whole, compatibility};
use answers::{Level, Place, SchemaAnswer, Verdict, Version};
use transport::{Answer, Refusal, Transport};

pub use transport::ANSWER_BYTES_MAX;

/// How many versions are looked at for words about a schema that the registry refuses.
const COMPARED_MAX: usize = 20;
/// How often a schema is registered that the registry does not take and finds compatible: when others register at the same time.
const REGISTER_ATTEMPTS_MAX: usize = 3;
/// What stands in a part of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// A client of a server.
#[derive(Debug)]
pub struct Confluent {
    transport: Transport,
}

impl Confluent {
    /// A client. Asks nothing yet.
    ///
    /// # Errors
    /// `Invalid` if a file of certificates cannot be read, or is none.
    pub fn new(options: &ConfluentOptions, policy: Policy) -> Result<Self, Error> {
        Ok(Self {
            transport: Transport::new(options, policy)?,
        })
    }

    /// How long a question may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.transport.timeout()
    }

    /// What the path answers, `None` if what it names is not there.
    fn get<A: DeserializeOwned>(&self, path: &str) -> Result<Option<A>, Error> {
        match self.transport.ask(path, None)? {
            Answer::Found(body) => self.transport.parsed(path, &body).map(Some),
            Answer::Absent => Ok(None),
            Answer::Refused(why) => Err(self.transport.refused(&why.words)),
        }
    }

    /// The version that is the same schema, if there is one.
    fn looked_up(&self, subject: &str, schema: &Schema) -> Result<Option<Registered>, Error> {
        let path = format!("/subjects/{}", segment(subject));
        match self.transport.ask(&path, Some(&body(schema)))? {
            Answer::Found(answer) => {
                let version: Version = self.transport.parsed(&path, &answer)?;
                // Some servers leave out here what the question had.
                let found = version.registered(subject, Some(schema));
                found
                    .map(Some)
                    .map_err(|why| self.transport.garbage(&path, &why))
            }
            Answer::Absent => Ok(None),
            Answer::Refused(why) => Err(self.no_schema(schema, &why.words)),
        }
    }

    /// Registers a schema; whether it was taken, or why not.
    fn try_register(&self, subject: &str, schema: &Schema) -> Result<Result<(), Refusal>, Error> {
        let path = format!("/subjects/{}/versions", segment(subject));
        match self.transport.ask(&path, Some(&body(schema)))? {
            Answer::Found(_) => Ok(Ok(())),
            Answer::Refused(why) => Ok(Err(why)),
            Answer::Absent => Err(self.transport.refused("it has no such subject")),
        }
    }

    fn one_version(&self, subject: &str, version: &str) -> Result<Option<Registered>, Error> {
        let path = format!("/subjects/{}/versions/{version}", segment(subject));
        let found: Option<Version> = self.get(&path)?;
        let found = found.map(|version| version.registered(subject, None));
        found
            .transpose()
            .map_err(|why| self.transport.garbage(&path, &why))
    }

    /// Our words for what a registry finds incompatible; none if we find nothing, or cannot read one of the schemas.
    fn own_differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error> {
        let level = self.level(subject)?;
        let Ok(new) = Whole::of(self, schema.clone()) else {
            return Ok(Vec::new());
        };
        let mut versions = self.versions(subject)?;
        versions.reverse();
        versions.truncate(if level.is_transitive() {
            COMPARED_MAX
        } else {
            1
        });
        for version in versions {
            let Some(older) = self.version(subject, version)? else {
                continue;
            };
            let at = older.at;
            let Ok(older) = Whole::of(self, older.schema) else {
                continue;
            };
            let found = compatibility::incompatible(level, (&at, &older), &new);
            match found {
                Ok(found) if !found.is_empty() => return Ok(found),
                _ => {}
            }
        }
        Ok(Vec::new())
    }

    /// The error of a text that the registry takes for none, with our reason where we have one.
    fn no_schema(&self, schema: &Schema, why: &str) -> Error {
        match Whole::of(self, schema.clone()).and_then(|whole| compatibility::check(&whole)) {
            Err(own) if own.kind == ErrorKind::Invalid => own,
            _ => self.transport.refused(why),
        }
    }
}

impl Registry for Confluent {
    fn schema(&self, id: SchemaId) -> Result<Option<Schema>, Error> {
        let path = format!("/schemas/ids/{id}");
        let found: Option<SchemaAnswer> = self.get(&path)?;
        let found = found.map(SchemaAnswer::schema);
        found
            .transpose()
            .map_err(|why| self.transport.garbage(&path, &why))
    }

    fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>, Error> {
        let places: Option<Vec<Place>> = self.get(&format!("/schemas/ids/{id}/versions"))?;
        let places = places.unwrap_or_default().into_iter().map(Place::at);
        let mut places: Vec<_> = places.collect();
        places.sort();
        Ok(places)
    }

    fn subjects(&self) -> Result<Vec<String>, Error> {
        let subjects: Option<Vec<String>> = self.get("/subjects")?;
        let mut subjects = subjects.unwrap_or_default();
        subjects.sort();
        Ok(subjects)
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, Error> {
        let path = format!("/subjects/{}/versions", segment(subject));
        let versions: Option<Vec<u32>> = self.get(&path)?;
        let mut versions = versions.unwrap_or_default();
        versions.sort_unstable();
        Ok(versions)
    }

    fn version(&self, subject: &str, version: u32) -> Result<Option<Registered>, Error> {
        self.one_version(subject, &version.to_string())
    }

    fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        self.one_version(subject, "latest")
    }

    fn level(&self, subject: &str) -> Result<Compatibility, Error> {
        let own = format!("/config/{}?defaultToGlobal=true", segment(subject));
        for path in [&*own, "/config"] {
            if let Some(level) = self.get::<Level>(path)? {
                return level
                    .level()
                    .map_err(|why| self.transport.garbage(path, &why));
            }
        }
        Err(self.transport.garbage("/config", "there is none"))
    }

    fn differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error> {
        // Without a version some servers compare with all, whatever the level.
        let version = if self.level(subject)?.is_transitive() {
            ""
        } else {
            "/latest"
        };
        let path = format!(
            "/compatibility/subjects/{}/versions{version}?verbose=true",
            segment(subject)
        );
        let answer = match self.transport.ask(&path, Some(&body(schema)))? {
            Answer::Found(answer) => answer,
            Answer::Absent => {
                // There is no such subject: whatever is a schema will do.
                let whole = Whole::of(self, schema.clone())?;
                return compatibility::check(&whole).map(|()| Vec::new());
            }
            Answer::Refused(why) => return Err(self.no_schema(schema, &why.words)),
        };
        let verdict: Verdict = self.transport.parsed(&path, &answer)?;
        if verdict.is_compatible {
            return Ok(Vec::new());
        }
        let mut found = self.own_differences(subject, schema)?;
        found.extend(verdict.words());
        if found.is_empty() {
            let what = "the registry finds the schema incompatible, and does not say why";
            found.push(Difference::new("", what));
        }
        Ok(found)
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<Registered, Error> {
        // Who may not write can still find out what is there.
        if let Some(registered) = self.looked_up(subject, schema)? {
            return Ok(registered);
        }
        for _ in 0..REGISTER_ATTEMPTS_MAX {
            let taken = self.try_register(subject, schema)?;
            // Also of a schema that it did not take: somebody else may have registered it meanwhile.
            if let Some(registered) = self.looked_up(subject, schema)? {
                return Ok(registered);
            }
            if let Err(why) = taken {
                let differences = self.differences(subject, schema)?;
                if !differences.is_empty() {
                    return Err(compatibility::refused(subject, &differences));
                }
                if !why.is_conflict {
                    return Err(self.transport.refused(&why.words));
                }
            }
        }
        Err(Error::new(
            ErrorKind::Retry,
            format!(
                "the registry did not take the schema of subject '{subject}' and finds it compatible; try again, and look who else \
                 registers there"
            ),
        ))
    }
}

fn segment(text: &str) -> String {
    // A path has no way to name these two: URLs drop them, escaped or not.
    match text {
        "." => "%252E".to_owned(),
        ".." => "%252E%252E".to_owned(),
        text => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

fn body(schema: &Schema) -> Value {
    let references: Vec<Value> = schema
        .references
        .iter()
        .map(|reference| {
            json!({"name": reference.name, "subject": reference.subject, "version": reference.version})
        })
        .collect();
    let mut body = json!({ "schema": schema.text });
    if schema.kind != SchemaKind::Avro {
        body["schemaType"] = schema.kind.name().into();
    }
    if !references.is_empty() {
        body["references"] = references.into();
    }
    body
}
