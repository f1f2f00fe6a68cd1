//! What lies in a record: records within records, and scalars of the types of SQL.

use crate::random_job::job::{Encoding, Envelope, Origin, Source};
use crate::value::{Nested, Type};

/// What a value is.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A value of a type.
    Of(Type),
    /// Any number of such values, or nulls.
    Array(Box<Shape>),
    /// Such values, or nulls, under texts.
    Map(Box<Shape>),
    /// Fields, under the name that the record has in schemas. Records of one name are alike.
    Record(&'static str, Vec<Field>),
}

/// A field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub shape: Shape,
    /// Whether they may be null. In Protobuf, whether the field has presence: one without has its default where nothing is written.
    pub nullable: bool,
}

impl Field {
    /// A field whose values may be null.
    pub fn new(name: &str, shape: Shape) -> Self {
        Self {
            name: name.to_owned(),
            shape,
            nullable: true,
        }
    }
}

impl Shape {
    /// What the values of a type are.
    pub fn of_type(ty: Type) -> Self {
        let scalar = |ty| Box::new(Self::Of(ty));
        match ty {
            Type::Nested(Nested::Struct) => Self::Record(
                "Place",
                vec![
                    Field::new("n", Self::Of(Type::Int)),
                    Field::new("label", Self::Of(Type::Text)),
                ],
            ),
            Type::Nested(Nested::Array) => Self::Array(scalar(Type::Decimal(2))),
            Type::Nested(Nested::Map) => Self::Map(scalar(Type::Int)),
            ty => Self::Of(ty),
        }
    }

    /// What a source's records are.
    pub fn of(source: &Source) -> Self {
        let row = || Self::Record("Row", members(source));
        let text = |name| Field::new(name, Self::Of(Type::Text));
        let number = |name| Field::new(name, Self::Of(Type::Int));
        match source.envelope {
            Envelope::Plain | Envelope::Upsert | Envelope::CloudEvents => row(),
            Envelope::Crud => Self::Record(
                "Event",
                vec![
                    text("uuid"),
                    text("type"),
                    number("ts"),
                    text("entity"),
                    number("id"),
                    Field::new("data", row()),
                ],
            ),
            Envelope::Debezium => Self::Record(
                "Change",
                vec![
                    Field::new("before", row()),
                    Field::new("after", row()),
                    Field::new("source", Self::Record("Source", vec![number("ts_ms")])),
                    text("op"),
                    number("ts_ms"),
                ],
            ),
        }
    }

    /// The fields of a record.
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Of(_) | Self::Array(_) | Self::Map(_) => &[],
            Self::Record(_, fields) => fields,
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.fields()
            .iter()
            .map(|field| field.name.as_str())
            .collect()
    }
}

/// The members of a source's states: its columns that are not said elsewhere.
fn members(source: &Source) -> Vec<Field> {
    let is_member = |origin: Origin| match (source.envelope, origin) {
        (_, Origin::Data) => true,
        (_, Origin::Header | Origin::Key | Origin::Written)
        | (Envelope::Crud, _)
        | (Envelope::Debezium, Origin::Ts) => false,
        (Envelope::Upsert, origin) => origin != Origin::Id,
        _ => true,
    };
    let columns = source
        .columns
        .iter()
        .filter(|column| is_member(column.origin));
    let fields = columns.map(|column| Field {
        nullable: column.nullable
            && (source.encoding, column.ty) != (Encoding::Protobuf, Type::Bool),
        ..Field::new(&column.name, Shape::of_type(column.ty))
    });
    fields.collect()
}
