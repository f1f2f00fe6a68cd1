//! The files with what a version refers to, and what a schema is told from others by.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{Reference, Schema};

use crate::{disk, invalid};

/// How many bytes such a file may have.
const BYTES_MAX: usize = 256 * 1024;

/// As Confluent's API has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    subject: String,
    version: u32,
}

/// What the file says, none if it is not there.
pub fn read(path: &Path) -> Result<Vec<Reference>, Error> {
    let Some(text) = disk::read(path, BYTES_MAX)? else {
        return Ok(Vec::new());
    };
    let references: Vec<Written> = serde_json::from_str(&text).map_err(|error| {
        invalid(format!(
            "'{}' is no list of references ({error}); write [{{\"name\": …, \"subject\": …, \"version\": …}}]",
            path.display()
        ))
    })?;
    let references = references.into_iter();
    Ok(references
        .map(|reference| Reference {
            name: reference.name,
            subject: reference.subject,
            version: reference.version,
        })
        .collect())
}

/// Writes the file; where there is nothing to say, there is none.
pub fn write(path: &Path, references: &[Reference]) -> Result<(), Error> {
    if references.is_empty() {
        // One that a crash left of a version that was never there.
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(disk::io_error("remove", path, &error))
            }
            _ => Ok(()),
        };
    }
    disk::replace(path, format!("{}\n", json(references)).as_bytes())
}

/// The SHA-256 of all that makes a schema what it is.
pub fn hash(schema: &Schema) -> String {
    disk::hash(&[schema.kind.name(), &schema.text, &json(&schema.references)])
}

fn json(references: &[Reference]) -> String {
    let written = references.iter().map(|reference| Written {
        name: reference.name.clone(),
        subject: reference.subject.clone(),
        version: reference.version,
    });
    let written: Vec<_> = written.collect();
    serde_json::to_string(&written).expect("names and numbers are JSON")
}
