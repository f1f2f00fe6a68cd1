//! What an envelope is, for the planner and for the decoder: its metadata, its options, and what its deletes carry.

use arrow_schema::{DataType, TimeUnit};

use super::{Column, ColumnOrigin, Contents};

/// What the values of a record say of a change.
#[derive(Debug)]
pub struct Envelope {
    /// The name in `envelope = '…'`.
    pub name: &'static str,
    /// Its metadata fields; those of [`POSITION`] come on top.
    pub metadata: &'static [MetadataField],
    /// Its options.
    pub options: &'static [&'static str],
    /// What its deletes carry.
    pub deletes: Deletes,
    /// What its records are, where it is written.
    pub contents: Contents,
    /// True if a source must say, by the option `key`, which columns the record's key has.
    pub needs_key: bool,
}

/// What the deletes of an envelope carry beside the record's key and the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// There are none: every record is a row.
    Never,
    /// These members of the state, and no other for certain.
    With(&'static [&'static str]),
}

/// A field of the envelope or of the record's position, and what it can be read as.
#[derive(Debug, Clone, Copy)]
pub struct MetadataField {
    /// Its name; one that ends in `.*` stands for all names with that beginning.
    pub name: &'static str,
    /// The types that it can be read as, in words.
    pub types: &'static str,
    /// Whether it can be read as a type.
    pub fits: fn(&DataType) -> bool,
    /// True if every event has it.
    pub always: bool,
}

/// The fields of every record's position, whatever its envelope.
pub static POSITION: [MetadataField; 6] = [
    MetadataField::always("partition", MetadataField::INTEGER),
    MetadataField::always("offset", MetadataField::INTEGER),
    MetadataField::always("topic", MetadataField::TEXT),
    MetadataField::always("timestamp", MetadataField::INSTANT),
    MetadataField::sometimes("key", MetadataField::BYTES),
    MetadataField::sometimes("headers.*", MetadataField::BYTES),
];

/// What a field can be read as: in words, and as a test.
type Fits = (&'static str, fn(&DataType) -> bool);

impl MetadataField {
    /// Whole numbers.
    pub const INTEGER: Fits = ("BIGINT or INT", is_integer);
    /// Texts.
    pub const TEXT: Fits = ("VARCHAR", is_text);
    /// Texts as they are in bytes.
    pub const BYTES: Fits = ("VARCHAR", is_text);
    /// Points in time.
    pub const INSTANT: Fits = ("TIMESTAMP or BIGINT", is_instant);
    /// What identifies an event.
    pub const UUID: Fits = ("UUID or VARCHAR", is_uuid);
    /// What identifies an entity.
    pub const IDENTIFIER: Fits = ("BIGINT, INT, VARCHAR or UUID", is_identifier);
    /// Yes or no.
    pub const BOOLEAN: Fits = ("BOOLEAN or VARCHAR", is_boolean);
    /// Whatever a column can be.
    pub const ANY: Fits = ("any type", |_| true);

    /// A field that every event has.
    #[must_use]
    pub const fn always(name: &'static str, (types, fits): Fits) -> Self {
        Self {
            name,
            types,
            fits,
            always: true,
        }
    }

    /// A field that an event may lack.
    #[must_use]
    pub const fn sometimes(name: &'static str, (types, fits): Fits) -> Self {
        Self {
            name,
            types,
            fits,
            always: false,
        }
    }

    /// True if it is the field of that name.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(beginning) => name.len() > beginning.len() && name.starts_with(beginning),
            None => self.name == name,
        }
    }
}

impl Envelope {
    /// All metadata fields: the envelope's, then those of the position.
    pub fn fields(&self) -> impl Iterator<Item = &MetadataField> {
        self.metadata.iter().chain(&POSITION)
    }

    /// The metadata field of a name; the envelope's own before the position's.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&MetadataField> {
        self.fields().find(|field| field.is_named(name))
    }

    /// True if every event has a value for the column, also a delete that has nothing but what it must.
    #[must_use]
    pub fn is_in_every_event(&self, column: &Column) -> bool {
        match (&column.origin, self.deletes) {
            (ColumnOrigin::Metadata(name), _) => self.field(name).is_some_and(|field| field.always),
            (_, Deletes::Never) => !column.nullable,
            (ColumnOrigin::Key(_), Deletes::With(_)) => self.needs_key,
            (ColumnOrigin::Data(path), Deletes::With(members)) => {
                members.iter().any(|member| path.is_member(member))
            }
        }
    }
}

fn is_uuid(data_type: &DataType) -> bool {
    is_text(data_type) || *data_type == DataType::FixedSizeBinary(16)
}

fn is_identifier(data_type: &DataType) -> bool {
    is_integer(data_type) || is_uuid(data_type)
}

fn is_instant(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(TimeUnit::Millisecond, None) | DataType::Int64
    )
}

fn is_text(data_type: &DataType) -> bool {
    *data_type == DataType::Utf8
}

fn is_boolean(data_type: &DataType) -> bool {
    is_text(data_type) || *data_type == DataType::Boolean
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int32 | DataType::Int64)
}
