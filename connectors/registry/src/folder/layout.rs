//! What lies where in the folder, and how subjects are called there.

use std::path::Path;
use std::{fs, io};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{SCHEMA_BYTES_MAX, Schema, SchemaKind};

use crate::disk::io_error;
use crate::invalid;

/// The file with a level.
pub const COMPATIBILITY: &str = "_compatibility";
/// How many bytes a file with a setting may have.
pub const SETTING_BYTES_MAX: usize = 1024;
/// How many subjects a folder may have, and versions a subject: more are not what a folder is for.
const ENTRIES_MAX: usize = 10_000;
/// How long the name of a file may be on the file systems that there are, with room for what is put around it.
const NAME_BYTES_MAX: usize = 200;
/// What a file with references is called behind its version.
const REFERENCES: &str = ".references.json";

/// What stands in the name of a folder as it is: letters, digits, and these.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'!')
    .add(b'"')
    .add(b'#')
    .add(b'$')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
    .add(b'+')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'~');

/// The name of a subject's folder: what a name may not have is escaped as in a URL, and so is a '.' or '_' at the beginning.
pub fn folder_name(subject: &str) -> Result<String, Error> {
    let escaped = utf8_percent_encode(subject, ESCAPED).to_string();
    let name = match subject.as_bytes().first() {
        Some(b'.') => format!("%2E{}", &escaped[1..]),
        Some(b'_') => format!("%5F{}", &escaped[1..]),
        _ => escaped,
    };
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(invalid(format!(
            "'{subject}' is no subject that a folder can have; give it a name of up to {NAME_BYTES_MAX} letters"
        )));
    }
    Ok(name)
}

/// The subject that a folder is of, if its name is one that [`folder_name`] makes.
pub fn subject_of(folder: &str) -> Option<String> {
    let subject = percent_decode_str(folder).decode_utf8().ok()?;
    let is_ours = folder_name(&subject).is_ok_and(|name| name == folder);
    is_ours.then(|| subject.into_owned())
}

/// The names of the subjects' folders.
pub fn folders(root: &Path) -> Result<Vec<String>, Error> {
    let names = names(root)?.ok_or_else(|| missing(root))?;
    let folders = names.into_iter();
    Ok(folders
        .filter(|name| !name.starts_with(['.', '_']) && root.join(name).is_dir())
        .collect())
}

/// A file with a version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFile {
    /// Its path below the root, such as `payments-value/0001.avsc`.
    pub name: String,
    /// Counted from 1.
    pub version: u32,
    /// By its ending.
    pub kind: SchemaKind,
}

impl VersionFile {
    pub fn new(folder: &str, version: u32, kind: SchemaKind) -> Self {
        Self {
            name: format!("{folder}/{version:04}.{}", kind.extension()),
            version,
            kind,
        }
    }

    /// The version that a path below the root is of, if it is that of one.
    pub fn of(name: &str) -> Option<Self> {
        let (_, file) = name.split_once('/')?;
        let (number, extension) = file.split_once('.')?;
        let kinds = SchemaKind::ALL.into_iter();
        let kind = kinds
            .into_iter()
            .find(|kind| kind.extension() == extension)?;
        let is_number = number.bytes().all(|digit| digit.is_ascii_digit());
        let version = number.parse().ok().filter(|version| *version > 0)?;
        is_number.then(|| Self {
            name: name.to_owned(),
            version,
            kind,
        })
    }

    /// The folder that it lies in.
    pub fn folder(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// The path below the root of the file with its references.
    pub fn references(&self) -> String {
        let stem = self
            .name
            .rsplit_once('.')
            .map_or(&*self.name, |(stem, _)| stem);
        format!("{stem}{REFERENCES}")
    }
}

/// The versions in a folder, in order; none if it is not there.
pub fn version_files(root: &Path, folder: &str) -> Result<Vec<VersionFile>, Error> {
    let Some(names) = names(&root.join(folder))? else {
        // A subject that is not there is no error, a folder of all subjects that is not there is one.
        return if root.is_dir() {
            Ok(Vec::new())
        } else {
            Err(missing(root))
        };
    };
    let mut files: Vec<VersionFile> = Vec::new();
    for name in names {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is_schema = SchemaKind::ALL
            .iter()
            .any(|kind| kind.extension() == ending);
        if !is_schema || name.starts_with(['.', '_']) || name.ends_with(REFERENCES) {
            continue;
        }
        let file = VersionFile::of(&format!("{folder}/{name}")).ok_or_else(|| {
            invalid(format!(
                "'{folder}/{name}' is named as no version is; name it by its number, such as '0001.{ending}'"
            ))
        })?;
        files.push(file);
    }
    files.sort_by_key(|file| file.version);
    if let Some(twice) = files.windows(2).find(|of| of[0].version == of[1].version) {
        return Err(invalid(format!(
            "'{}' and '{}' are the same version; give one of them the next number",
            twice[0].name, twice[1].name
        )));
    }
    Ok(files)
}

/// Refuses a text that is longer than one may be.
pub fn check_length(schema: &Schema) -> Result<(), Error> {
    if schema.text.len() > SCHEMA_BYTES_MAX {
        return Err(invalid(format!(
            "the schema has {} bytes, of {SCHEMA_BYTES_MAX} that one may have; make it smaller",
            schema.text.len()
        )));
    }
    Ok(())
}

/// The error of a folder that is not there.
pub fn missing(root: &Path) -> Error {
    invalid(format!(
        "there is no folder '{}', where the registry should be; make it, or mend 'schema.registry.folder'",
        root.display()
    ))
}

/// The names in a folder, `None` if it is not there.
fn names(path: &Path) -> Result<Option<Vec<String>>, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("look into", path, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error("look into", path, &error))?;
        // Names that are no text are nobody's of ours.
        names.extend(entry.file_name().into_string().ok());
        if names.len() > ENTRIES_MAX {
            return Err(invalid(format!(
                "'{}' has more than {ENTRIES_MAX} entries; use a registry for so many",
                path.display()
            )));
        }
    }
    names.sort();
    Ok(Some(names))
}
