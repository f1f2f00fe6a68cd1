//! What encoders have in common: the columns of a sink, found once per batch, and the envelopes that they write.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field};
use tidemill_types::format::{Error, SinkSpec};
use tidemill_types::sql_type;

use crate::cells::{self, Cells};

/// What the records of a sink say of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// A row.
    Plain,
    /// The row that its key has now, or nothing.
    Upsert,
    /// The row as it was and as it is.
    Debezium,
}

impl Envelope {
    /// The envelope of a name.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "plain" => Ok(Self::Plain),
            "upsert" => Ok(Self::Upsert),
            "debezium" => Ok(Self::Debezium),
            _ => Err(Error::UnknownEnvelope {
                envelope: name.to_owned(),
            }),
        }
    }
}

/// Columns that are written, in order.
#[derive(Debug)]
pub struct Columns(Vec<(String, DataType)>);

impl Columns {
    /// All columns of a sink, for a format of that name.
    ///
    /// # Errors
    /// If a column's type has no text.
    pub fn new(spec: &SinkSpec<'_>, format: &'static str) -> Result<Self, Error> {
        let names = spec.schema.fields().iter().map(|field| field.name());
        Self::named(spec, names, format)
    }

    /// Themselves, if no value of theirs has others in it.
    ///
    /// # Errors
    /// If one has.
    pub fn flat(self, format: &'static str) -> Result<Self, Error> {
        match self.nested() {
            None => Ok(self),
            Some((column, data_type)) => Err(Error::NestedType {
                column: column.clone(),
                data_type: sql_type::name(data_type),
                format,
            }),
        }
    }

    fn nested(&self) -> Option<&(String, DataType)> {
        let mut columns = self.0.iter();
        columns.find(|(_, data_type)| data_type.is_nested())
    }

    /// The key columns of a sink.
    ///
    /// # Errors
    /// As [`Columns::new`], and if one is missing, or its values have others in them.
    pub fn of_key(spec: &SinkSpec<'_>, format: &'static str) -> Result<Self, Error> {
        let columns = Self::named(spec, spec.key.iter(), format)?;
        match columns.nested() {
            None => Ok(columns),
            Some((column, data_type)) => Err(Error::NestedKey {
                column: column.clone(),
                data_type: sql_type::name(data_type),
            }),
        }
    }

    /// One column of a sink.
    ///
    /// # Errors
    /// As [`Columns::new`].
    pub fn one(spec: &SinkSpec<'_>, name: &String, format: &'static str) -> Result<Self, Error> {
        Self::named(spec, std::iter::once(name), format)
    }

    fn named<'a>(
        spec: &SinkSpec<'_>,
        names: impl Iterator<Item = &'a String>,
        format: &'static str,
    ) -> Result<Self, Error> {
        let field = |name: &String| {
            let field = spec.schema.field_with_name(name);
            field.map_err(|_| Error::KeyColumn {
                column: name.clone(),
            })
        };
        let fields: Vec<_> = names.map(field).collect::<Result<_, _>>()?;
        Self::of(fields.into_iter(), format)
    }

    /// These columns.
    ///
    /// # Errors
    /// As [`Columns::new`].
    pub fn of<'a>(
        fields: impl Iterator<Item = &'a Field>,
        format: &'static str,
    ) -> Result<Self, Error> {
        let column = |field: &Field| {
            if cells::is_supported(field.data_type()) {
                return Ok((field.name().clone(), field.data_type().clone()));
            }
            Err(Error::UnsupportedType {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                format,
                supported: cells::SUPPORTED,
            })
        };
        Ok(Self(fields.map(column).collect::<Result<_, _>>()?))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Finds them in rows.
    ///
    /// # Errors
    /// `Bug` if the rows lack a column or it has another type.
    pub fn bind<'a>(&self, rows: &'a RecordBatch) -> Result<Vec<Cells<'a>>, Error> {
        let cells = self.0.iter().map(|(name, data_type)| {
            let array = rows.column_by_name(name);
            array
                .filter(|array| array.data_type() == data_type)
                .and_then(|array| Cells::of(array.as_ref()))
                .ok_or_else(|| Error::Rows {
                    column: name.clone(),
                    expected: data_type.clone(),
                    found: array
                        .map_or_else(|| "missing".into(), |array| array.data_type().to_string()),
                })
        });
        cells.collect()
    }
}
