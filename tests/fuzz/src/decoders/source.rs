//! A source as a job declares it: format, envelope, columns, options.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use tidemill_types::format::{
    Column, ColumnOrigin, Contract, Contracts, Decoder, Error, Options, Path, SchemaText, Schemas,
    SourceSpec, TimeLimit, WriterSchema,
};
use tidemill_types::system_columns::Kept;

/// Milliseconds since 1970.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);
/// Sixteen bytes.
pub const UUID: DataType = DataType::FixedSizeBinary(16);

/// A source.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The format's name.
    pub format: &'static str,
    /// The envelope's name.
    pub envelope: &'static str,
    /// The columns that the job uses.
    pub columns: Vec<Column>,
    /// The options of format and envelope.
    pub options: Options,
    /// What a registry has.
    pub contracts: Option<(Contract, Arc<dyn Schemas>)>,
    /// The same of the keys.
    pub key_contracts: Option<(Contract, Arc<dyn Schemas>)>,
    /// The time column.
    pub time: Option<&'static str>,
}

impl Source {
    /// A source without columns.
    #[must_use]
    pub fn new(format: &'static str, envelope: &'static str) -> Self {
        Self {
            format,
            envelope,
            ..Self::default()
        }
    }

    /// With an option.
    #[must_use]
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }

    /// With columns of members of the state, by their paths.
    #[must_use]
    pub fn data(mut self, members: &[(&str, DataType)]) -> Self {
        for (path, data_type) in members {
            let path_of = Path::parse(path).expect("the paths here are paths");
            self.columns
                .push(self.column(path, data_type, ColumnOrigin::Data(path_of)));
        }
        self
    }

    /// With columns of the record's key.
    #[must_use]
    pub fn key(mut self, members: &[(&str, DataType)]) -> Self {
        for (name, data_type) in members {
            let origin = ColumnOrigin::Key(Path::member(*name));
            self.columns.push(self.column(name, data_type, origin));
        }
        self
    }

    /// With columns of metadata fields.
    #[must_use]
    pub fn metadata(mut self, fields: &[(&str, DataType)]) -> Self {
        for (name, data_type) in fields {
            let origin = ColumnOrigin::Metadata((*name).into());
            self.columns.push(self.column(name, data_type, origin));
        }
        self
    }

    /// With the metadata that every record's position has.
    #[must_use]
    pub fn position(self) -> Self {
        self.metadata(&[
            ("partition", DataType::Int32),
            ("offset", DataType::Int64),
            ("topic", DataType::Utf8),
            ("timestamp", TIMESTAMP),
            ("key", DataType::Utf8),
            ("headers.trace", DataType::Utf8),
        ])
    }

    /// With the last column as one without which a state is a dead letter.
    #[must_use]
    pub fn required(mut self) -> Self {
        if let Some(column) = self.columns.last_mut() {
            column.nullable = false;
        }
        self
    }

    /// With a time column, and a bound for how far ahead it may be.
    #[must_use]
    pub const fn timed(mut self, column: &'static str) -> Self {
        self.time = Some(column);
        self
    }

    /// A column, with a name that no other has.
    fn column(&self, name: &str, data_type: &DataType, origin: ColumnOrigin) -> Column {
        let is_taken = self.columns.iter().any(|column| column.name == name);
        let name = if is_taken {
            format!("{name} {}", self.columns.len())
        } else {
            name.to_owned()
        };
        Column {
            name,
            data_type: data_type.clone(),
            nullable: true,
            origin,
        }
    }

    /// A decoder of the source.
    ///
    /// # Errors
    /// As the format's: a source whose schema is part of the input may be none.
    pub fn decoder(&self) -> Result<Box<dyn Decoder>, Error> {
        let formats = tidemill_formats::all();
        let format = formats.named(self.format);
        format
            .expect("the formats here exist")
            .decoder(&SourceSpec {
                topic: "topic",
                envelope: self.envelope,
                columns: &self.columns,
                kept: Kept {
                    time: true,
                    bytes: true,
                },
                time_limit: self.time.map(|column| TimeLimit {
                    column: column.to_owned(),
                    max_future_ms: 86_400_000,
                }),
                contracts: contracts(self.contracts.as_ref()),
                key_contracts: contracts(self.key_contracts.as_ref()),
                options: &self.options,
            })
    }
}

fn contracts(known: Option<&(Contract, Arc<dyn Schemas>)>) -> Option<Contracts<'_>> {
    known.map(|(pinned, schemas)| Contracts {
        pinned: Some(pinned),
        schemas,
    })
}

/// Some schemas by their numbers.
#[derive(Debug)]
struct Registry(Vec<(u32, Arc<WriterSchema>)>);

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Option<Arc<WriterSchema>> {
        let known = self.0.iter().find(|(known, _)| *known == id);
        known.map(|(_, schema)| Arc::clone(schema))
    }
}

/// A registry with these schemas, which are the versions of a subject, and the first of them as the contract.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn registry(schemas: &[(u32, String)]) -> (Contract, Arc<dyn Schemas>) {
    let text = |text: &String| SchemaText {
        text: text.clone(),
        references: Vec::new(),
    };
    let (id, first) = schemas.first().expect("some are given");
    let contract = Contract {
        subject: "subject".to_owned(),
        version: 1,
        id: *id,
        schema: text(first),
    };
    let known = (1..).zip(schemas).map(|(version, (id, schema))| {
        let places = vec![("subject".to_owned(), version)];
        let schema = text(schema);
        (*id, Arc::new(WriterSchema { schema, places }))
    });
    (contract, Arc::new(Registry(known.collect())))
}
