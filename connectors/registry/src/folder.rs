//! A folder as the registry: files that a person can read, write by hand and keep in git.
//!
//! ```text
//! contracts/
//!   _ids                      which id stands for which file, a line each
//!   _compatibility            the level of all subjects that have none of their own (BACKWARD where there is no such file)
//!   payments-value/
//!     0001.avsc               the versions, by number: .avsc, .proto or .json
//!     0002.avsc
//!     0002.references.json    what 0002 refers to, as Confluent's API has it: [{"name", "subject", "version"}]
//!     _compatibility          the level of this subject
//! ```
//!
//! Promises: an id is given once and never again; a file that was changed after it got its id is refused as `Corrupt`; a crash leaves a version
//! whole or not there; several processes may register at once on a file system that locks. A file that was put there by hand gets its id when
//! it is first asked for.
//! Does not promise that what was put there by hand keeps to the subject's level: only [`Registry::register`] checks.

mod ids;
mod layout;
mod references;

use std::path::{Path, PathBuf};

use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{
    Compatibility, Difference, Registered, Registry, Schema, SchemaId, SubjectVersion,
};
use tidemill_types::ErrorKind;

use crate::{Whole, compatibility, disk, invalid};
use ids::{Ids, Lock};
use layout::{VersionFile, folder_name, subject_of, version_files};

/// A folder of schemas.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The registry in a folder, which is looked at with every call and made by the first [`Registry::register`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn files(&self, subject: &str) -> Result<Vec<VersionFile>, Error> {
        version_files(&self.path, &folder_name(subject)?)
    }

    fn read(&self, file: &VersionFile) -> Result<Schema, Error> {
        let path = self.path.join(&file.name);
        let text = disk::read_schema(&path)?.ok_or_else(|| gone(&file.name))?;
        Ok(Schema {
            kind: file.kind,
            text,
            references: references::read(&self.path.join(file.references()))?,
        })
    }

    /// A version with its id: the one that it has, or a new one.
    fn registered(&self, subject: &str, file: &VersionFile) -> Result<Registered, Error> {
        let schema = self.read(file)?;
        let hash = references::hash(&schema);
        let id = match Ids::read(&self.path)?.of_file(&file.name, &hash)? {
            Some(id) => id,
            None => {
                // Whoever gets an id now is told of: garbage must not.
                compatibility::check(&Whole::of(self, schema.clone())?)
                    .map_err(|error| Error::new(error.kind, format!("'{}': {error}", file.name)))?;
                let lock = Lock::take(&self.path)?;
                Ids::give(&self.path, &lock, &file.name, &hash)?
            }
        };
        Ok(Registered {
            at: SubjectVersion {
                subject: subject.to_owned(),
                version: file.version,
            },
            id,
            schema,
        })
    }

    /// The version that is the same schema, if there is one.
    fn same(&self, files: &[VersionFile], new: &Whole) -> Result<Option<VersionFile>, Error> {
        for file in files {
            let old = self.read(file)?;
            // Told apart by their texts first: most are other ones, and need not be understood.
            if old.kind == new.schema.kind && compatibility::is_same(&Whole::of(self, old)?, new)? {
                return Ok(Some(file.clone()));
            }
        }
        Ok(None)
    }

    fn differences_from(
        &self,
        subject: &str,
        files: &[VersionFile],
        new: &Whole,
    ) -> Result<Vec<Difference>, Error> {
        let level = self.level(subject)?;
        let compared = if level.is_transitive() {
            files
        } else {
            files.split_at(files.len().saturating_sub(1)).1
        };
        let mut found = Vec::new();
        for file in compared {
            let at = SubjectVersion {
                subject: subject.to_owned(),
                version: file.version,
            };
            let older = Whole::of(self, self.read(file)?)?;
            found.extend(compatibility::incompatible(level, (&at, &older), new)?);
        }
        Ok(found)
    }
}

impl Registry for Folder {
    fn schema(&self, id: SchemaId) -> Result<Option<Schema>, Error> {
        let ids = Ids::read(&self.path)?;
        let mut first_error = None;
        for line in ids.lines_of(id) {
            // The same schema may stand in several places: one that is as it was is enough.
            let read = VersionFile::of(&line.file)
                .ok_or_else(|| gone(&line.file))
                .and_then(|file| self.read(&file));
            match read {
                Ok(schema) if references::hash(&schema) == line.hash => return Ok(Some(schema)),
                Ok(_) => first_error = first_error.or_else(|| Some(ids::changed(&line.file, id))),
                Err(error) if error.kind == ErrorKind::Retry => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(None), Err)
    }

    fn places(&self, id: SchemaId) -> Result<Vec<SubjectVersion>, Error> {
        let ids = Ids::read(&self.path)?;
        let places = ids.lines_of(id).filter_map(|line| {
            let file = VersionFile::of(&line.file)?;
            Some(SubjectVersion {
                subject: subject_of(file.folder())?,
                version: file.version,
            })
        });
        let mut places: Vec<_> = places.collect();
        places.sort();
        Ok(places)
    }

    fn subjects(&self) -> Result<Vec<String>, Error> {
        let mut subjects = Vec::new();
        for folder in layout::folders(&self.path)? {
            if !version_files(&self.path, &folder)?.is_empty() {
                subjects.extend(subject_of(&folder));
            }
        }
        subjects.sort();
        Ok(subjects)
    }

    fn versions(&self, subject: &str) -> Result<Vec<u32>, Error> {
        let files = self.files(subject)?.into_iter();
        Ok(files.map(|file| file.version).collect())
    }

    fn version(&self, subject: &str, version: u32) -> Result<Option<Registered>, Error> {
        let files = self.files(subject)?;
        let file = files.iter().find(|file| file.version == version);
        file.map(|file| self.registered(subject, file)).transpose()
    }

    fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        let files = self.files(subject)?;
        let file = files.last();
        file.map(|file| self.registered(subject, file)).transpose()
    }

    fn level(&self, subject: &str) -> Result<Compatibility, Error> {
        let own = Path::new(&folder_name(subject)?).join(layout::COMPATIBILITY);
        for name in [own, layout::COMPATIBILITY.into()] {
            let path = self.path.join(name);
            let Some(text) = disk::read(&path, layout::SETTING_BYTES_MAX)? else {
                continue;
            };
            return Compatibility::named(text.trim()).ok_or_else(|| {
                let names = Compatibility::ALL.map(Compatibility::name);
                invalid(format!(
                    "'{}' has '{}'; write one of {} into it",
                    path.display(),
                    text.trim(),
                    names.join(", ")
                ))
            });
        }
        Ok(Compatibility::default())
    }

    fn differences(&self, subject: &str, schema: &Schema) -> Result<Vec<Difference>, Error> {
        let files = self.files(subject)?;
        let new = Whole::of(self, schema.clone())?;
        compatibility::check(&new)?;
        self.differences_from(subject, &files, &new)
    }

    fn register(&self, subject: &str, schema: &Schema) -> Result<Registered, Error> {
        let folder = folder_name(subject)?;
        layout::check_length(schema)?;
        disk::make_folder(&self.path)?;
        // What it refers to gets its ids before the lock is taken, which is not to be had twice.
        let new = Whole::of(self, schema.clone())?;
        compatibility::check(&new)?;
        let lock = Lock::take(&self.path)?;
        let files = self.files(subject)?;
        let (file, schema) = match self.same(&files, &new)? {
            Some(file) => {
                let schema = self.read(&file)?;
                (file, schema)
            }
            None => {
                let differences = self.differences_from(subject, &files, &new)?;
                if !differences.is_empty() {
                    return Err(compatibility::refused(subject, &differences));
                }
                let version = files.last().map_or(1, |file| file.version + 1);
                let file = VersionFile::new(&folder, version, schema.kind);
                disk::make_folder(&self.path.join(&folder))?;
                references::write(&self.path.join(file.references()), &schema.references)?;
                disk::replace(&self.path.join(&file.name), schema.text.as_bytes())?;
                (file, schema.clone())
            }
        };
        let hash = references::hash(&schema);
        let id = Ids::give(&self.path, &lock, &file.name, &hash)?;
        Ok(Registered {
            at: SubjectVersion {
                subject: subject.to_owned(),
                version: file.version,
            },
            id,
            schema,
        })
    }
}

fn gone(name: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "the schema '{name}' is gone, which has an id; restore it from the version control or a backup"
        ),
    )
}
