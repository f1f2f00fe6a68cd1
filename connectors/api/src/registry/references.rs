//! A schema with all that it refers to, however far.

use std::collections::BTreeSet;

use tidemill_types::ErrorKind;

use super::{Reference, Registry, SCHEMA_BYTES_MAX, Schema};
use crate::Error;

/// How many schemas one may refer to, those that these refer to included.
pub const REFERENCED_MAX: usize = 256;

/// A schema by the name that others refer to it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSchema {
    /// The name: a type's in Avro, an import's path in Protobuf.
    pub name: String,
    /// The schema.
    pub schema: Schema,
}

/// What is left to do: to look a schema up, or to take it over, since what it refers to is there.
enum Step {
    Look(Reference),
    Take(NamedSchema),
}

/// All that a schema refers to, directly or through others, each once by its name, and each after those that it refers to itself: so they
/// can be read from the first to the last. The schema itself is not among them.
///
/// # Errors
/// As [`Registry::version`]; `Invalid` if a version that is referred to is not there, two of them have the same name and are not the same, or
/// there are more than [`REFERENCED_MAX`] of them or more bytes in them than [`SCHEMA_BYTES_MAX`].
pub fn with_references<R: Registry + ?Sized>(
    registry: &R,
    schema: &Schema,
) -> Result<Vec<NamedSchema>, Error> {
    let mut found: Vec<NamedSchema> = Vec::new();
    let mut looked_at = BTreeSet::new();
    let mut bytes = 0;
    let mut steps: Vec<Step> = looks(schema).collect();
    while let Some(step) = steps.pop() {
        match step {
            Step::Take(named) => take(named, &mut found)?,
            Step::Look(reference) => {
                if !looked_at.insert(reference.clone()) {
                    continue;
                }
                let named = look_up(registry, reference)?;
                bytes += named.schema.text.len();
                if looked_at.len() > REFERENCED_MAX || bytes > SCHEMA_BYTES_MAX {
                    return Err(invalid(format!(
                        "the schema refers to more than {REFERENCED_MAX} others or {SCHEMA_BYTES_MAX} bytes of them; split it"
                    )));
                }
                let inner: Vec<Step> = looks(&named.schema).collect();
                steps.push(Step::Take(named));
                steps.extend(inner);
            }
        }
    }
    Ok(found)
}

/// What a schema refers to, to be looked up from the last of the steps to the first: in its own order.
fn looks(schema: &Schema) -> impl Iterator<Item = Step> {
    schema.references.iter().rev().cloned().map(Step::Look)
}

fn look_up<R: Registry + ?Sized>(registry: &R, reference: Reference) -> Result<NamedSchema, Error> {
    match registry.version(&reference.subject, reference.version)? {
        Some(registered) => Ok(NamedSchema {
            name: reference.name,
            schema: registered.schema,
        }),
        None => Err(invalid(format!(
            "the schema refers to '{}', version {} of subject '{}', which the registry does not have; register that first",
            reference.name, reference.version, reference.subject
        ))),
    }
}

fn take(named: NamedSchema, found: &mut Vec<NamedSchema>) -> Result<(), Error> {
    match found.iter().find(|other| other.name == named.name) {
        Some(other) if *other == named => {}
        Some(_) => {
            return Err(invalid(format!(
                "'{}' is referred to in two versions that differ; refer to one of them everywhere",
                named.name
            )));
        }
        None => found.push(named),
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
