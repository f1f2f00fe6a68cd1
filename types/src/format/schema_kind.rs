//! The languages of schemas, and the names that they have in Confluent's API, in files and in messages.

use std::fmt;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaKind {
    /// Apache Avro, in JSON.
    Avro,
    /// The text of a `.proto` file.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl SchemaKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Avro, Self::Protobuf, Self::Json];

    /// As Confluent's API calls it: `AVRO`, `PROTOBUF`, `JSON`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
            Self::Json => "JSON",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How a file of it ends: `avsc`, `proto`, `json`.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Avro => "avsc",
            Self::Protobuf => "proto",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
            Self::Json => "JSON Schema",
        })
    }
}
