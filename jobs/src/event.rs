//! What an event has: where the columns of a source come from, and which of them a delete that has nothing but its
//! envelope still has.

use arrow_schema::DataType;
use tidemill_formats::studio_json::{METADATA, MetadataField, Origin};

use crate::catalog::TIMESTAMP;
use crate::dialect::{ColumnStatement, Name};
use crate::error::{Error, Location};
use crate::plan::{ColumnOrigin, SourceColumn};

/// Checks a declared column.
pub fn source_column(statement: ColumnStatement) -> Result<SourceColumn, Error> {
    let name = statement.name;
    if name.text.starts_with("__") {
        let message = format!(
            "column '{}': names that begin with '__' are taken; choose another",
            name.text
        );
        return Err(Error::contradiction(name.at, message));
    }
    let from = match statement.metadata {
        None => ColumnOrigin::Data(name.text.clone()),
        Some(field) => {
            check_metadata(&field, &statement.data_type)?;
            ColumnOrigin::Metadata(field.text)
        }
    };
    Ok(SourceColumn {
        name: name.text,
        data_type: statement.data_type,
        nullable: !statement.not_null,
        from,
    })
}

/// Whether a field of the envelope exists and can be read as a type.
fn check_metadata(field: &Name, data_type: &DataType) -> Result<(), Error> {
    let Some(known) = MetadataField::named(&field.text) else {
        return Err(Error::Unknown {
            at: field.at,
            what: "metadata field",
            name: field.text.clone(),
            hint: format!("; use '{}'", METADATA.map(|known| known.name).join("', '")),
        });
    };
    if known.fits(data_type) {
        return Ok(());
    }
    let message = format!(
        "the metadata field '{}' can be read as {} only; declare it so, and cast it in the query",
        field.text, known.types
    );
    Err(Error::contradiction(field.at, message))
}

/// A version is a number or a time: what can be ordered in 64 bits.
pub fn check_version(version: &SourceColumn, at: Location) -> Result<(), Error> {
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

/// True if every event has a value for a column, also a delete that has nothing but its envelope.
fn is_in_every_event(column: &SourceColumn) -> bool {
    match &column.from {
        ColumnOrigin::Data(field) => Origin::Data(field.clone()),
        ColumnOrigin::Metadata(field) => Origin::Metadata(field.clone()),
    }
    .is_in_every_event()
}

/// Those of the named columns that an event may lack, each once.
pub fn may_lack<'a>(
    columns: &[SourceColumn],
    names: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let may_lack = |name: &&String| {
        let mut named = columns.iter().filter(|column| column.name == **name);
        named.any(|column| !is_in_every_event(column))
    };
    let mut lacking: Vec<String> = Vec::new();
    for name in names.filter(may_lack) {
        if !lacking.contains(name) {
            lacking.push(name.clone());
        }
    }
    lacking
}
