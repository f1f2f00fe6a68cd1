//! What an event has: where the columns of a source come from, and which of them a delete that has nothing but what it must still has.

use arrow_schema::DataType;
use tidemill_types::format::{Column, ColumnOrigin, Envelope, Path};

use crate::catalog::TIMESTAMP;
use crate::dialect::{ColumnFrom, ColumnStatement, Name};
use crate::error::{Error, Location};

/// Checks a declared column; `key` are those that the record's key has.
pub fn source_column(
    statement: ColumnStatement,
    envelope: &Envelope,
    key: &[String],
) -> Result<Column, Error> {
    let name = statement.name;
    if name.text.starts_with("__") {
        let message = format!(
            "column '{}': names that begin with '__' are taken; choose another",
            name.text
        );
        return Err(Error::contradiction(name.at, message));
    }
    let is_of_key = key.contains(&name.text);
    let origin = match statement.from {
        ColumnFrom::Metadata(field) if is_of_key => {
            let message = format!(
                "column '{}' stands in the option 'key', but is declared METADATA FROM '{}'; leave one of them out",
                name.text, field.text
            );
            return Err(Error::contradiction(field.at, message));
        }
        ColumnFrom::Metadata(field) => {
            check_metadata(&field, &statement.data_type, envelope)?;
            ColumnOrigin::Metadata(field.text)
        }
        ColumnFrom::Member(field) => {
            let path = Path::parse(&field.text).ok_or_else(|| {
                let message = format!("'{}' is no path; write names with dots between", field.text);
                Error::contradiction(field.at, message)
            })?;
            of_state_or_key(path, is_of_key)
        }
        ColumnFrom::ItsName => of_state_or_key(Path::member(&name.text), is_of_key),
    };
    Ok(Column {
        name: name.text,
        data_type: statement.data_type,
        nullable: !statement.not_null,
        origin,
    })
}

const fn of_state_or_key(path: Path, is_of_key: bool) -> ColumnOrigin {
    if is_of_key {
        ColumnOrigin::Key(path)
    } else {
        ColumnOrigin::Data(path)
    }
}

/// Whether a field of the envelope exists and can be read as a type.
fn check_metadata(field: &Name, data_type: &DataType, envelope: &Envelope) -> Result<(), Error> {
    let Some(known) = envelope.field(&field.text) else {
        let names: Vec<_> = envelope.fields().map(|known| known.name).collect();
        return Err(Error::Unknown {
            at: field.at,
            what: "metadata field",
            name: field.text.clone(),
            hint: format!(
                "; envelope '{}' has '{}'",
                envelope.name,
                names.join("', '")
            ),
        });
    };
    if (known.fits)(data_type) {
        return Ok(());
    }
    let message = format!(
        "the metadata field '{}' can be read as {} only; declare it so, and cast it in the query",
        field.text, known.types
    );
    Err(Error::contradiction(field.at, message))
}

/// A version is a number or a time: what can be ordered in 64 bits.
pub fn check_version(version: &Column, at: Location) -> Result<(), Error> {
    let is_number = matches!(
        version.data_type,
        DataType::Int32 | DataType::Int64 | DataType::Date32
    );
    if is_number || version.data_type == TIMESTAMP {
        return Ok(());
    }
    let message = format!(
        "the version '{}' must be a BIGINT, INT, DATE or TIMESTAMP",
        version.name
    );
    Err(Error::contradiction(at, message))
}

/// Those of the named columns that an event may lack, each once.
pub fn may_lack<'a>(
    columns: &[Column],
    envelope: &Envelope,
    names: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let may_lack = |name: &&String| {
        let mut named = columns.iter().filter(|column| column.name == **name);
        named.any(|column| !envelope.is_in_every_event(column))
    };
    let mut lacking: Vec<String> = Vec::new();
    for name in names.filter(may_lack) {
        if !lacking.contains(name) {
            lacking.push(name.clone());
        }
    }
    lacking
}
