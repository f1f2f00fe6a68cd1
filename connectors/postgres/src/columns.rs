//! The columns of a sink as PostgreSQL has them: which type each becomes, which types of a table that is there already can hold its values
//! unchanged, and how it is read from the JSON that the sink's format writes (docs/formats/json.md).
//!
//! Promises: what is not exact in a type is not allowed into it; a value beyond its range is PostgreSQL's to refuse, by itself.

use arrow_schema::{DataType, Schema, TimeUnit};

use crate::names::{is_name, quoted};

/// How many digits a `DECIMAL` has for an integer of 64 bits without sign.
const U64_DIGITS: u8 = 20;

/// A column of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
}

/// What PostgreSQL calls a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    Numeric { precision: u8, scale: i8 },
    Text,
    Date,
    Timestamp,
    Uuid,
    Bytes,
    Json,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::SmallInt,
            DataType::Int32 | DataType::UInt16 => Self::Integer,
            DataType::Int64 | DataType::UInt32 => Self::BigInt,
            DataType::UInt64 => Self::Numeric {
                precision: U64_DIGITS,
                scale: 0,
            },
            DataType::Float32 => Self::Real,
            DataType::Float64 => Self::Double,
            // Before version 15 PostgreSQL knows no negative scale, and none that is more than the precision.
            &DataType::Decimal128(precision, scale)
                if scale >= 0 && scale.unsigned_abs() <= precision =>
            {
                Self::Numeric { precision, scale }
            }
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Self::Text
            }
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Millisecond, None) => Self::Timestamp,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::Binary => Self::Bytes,
            DataType::List(_) | DataType::Struct(_) | DataType::Map(..) => Self::Json,
            _ => return None,
        })
    }

    /// The type that a table is made with.
    pub fn sql(self) -> String {
        let name = match self {
            Self::Boolean => "boolean",
            Self::SmallInt => "smallint",
            Self::Integer => "integer",
            Self::BigInt => "bigint",
            Self::Real => "real",
            Self::Double => "double precision",
            Self::Numeric { precision, scale } => return format!("numeric({precision},{scale})"),
            Self::Text => "text",
            Self::Date => "date",
            Self::Timestamp => "timestamp with time zone",
            Self::Uuid => "uuid",
            Self::Bytes => "bytea",
            Self::Json => "jsonb",
        };
        name.to_owned()
    }

    /// True if a type of PostgreSQL's own, by its name in the catalog and its modifier, holds the values unchanged, or refuses them.
    pub fn fits(self, name: &str, modifier: i32) -> bool {
        match self {
            Self::Boolean => name == "bool",
            Self::SmallInt | Self::Integer | Self::BigInt => {
                matches!(name, "int2" | "int4" | "int8") || holds_scale(name, modifier, 0)
            }
            Self::Real => name == "float4",
            Self::Double => name == "float8",
            Self::Numeric { scale, .. } => holds_scale(name, modifier, i32::from(scale)),
            Self::Text => matches!(name, "text" | "varchar"),
            Self::Date => name == "date",
            // All times are UTC, and the session's time zone is; its modifier is the number of digits behind the second.
            Self::Timestamp => {
                matches!(name, "timestamptz" | "timestamp") && !(0..3).contains(&modifier)
            }
            Self::Uuid => name == "uuid",
            Self::Bytes => name == "bytea",
            Self::Json => matches!(name, "jsonb" | "json"),
        }
    }

    /// The type that a value is read from JSON as.
    fn read_as(self) -> String {
        match self {
            // In JSON it is base64.
            Self::Bytes => Self::Text.sql(),
            kind => kind.sql(),
        }
    }
}

/// True if a type is `numeric` with so many digits behind the point, or any: else it rounds. Its modifier is 4 more than its precision in
/// the high half and its scale in the lowest 11 bits, with their sign.
fn holds_scale(name: &str, modifier: i32, scale: i32) -> bool {
    let own = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
    name == "numeric" && (modifier < 4 || own >= scale)
}

impl Column {
    /// Its name as SQL has it.
    pub fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// As it stands in the list behind `json_to_recordset(…) AS given(…)`.
    pub fn definition(&self) -> String {
        format!("{} {}", self.quoted(), self.kind.read_as())
    }

    /// Its value of a row of `given`.
    pub fn value(&self) -> String {
        let value = format!("given.{}", self.quoted());
        match self.kind {
            Kind::Bytes => format!("decode({value}, 'base64')"),
            _ => value,
        }
    }
}

/// The columns of a schema; else what is wrong with one.
pub fn columns(schema: &Schema) -> Result<Vec<Column>, String> {
    let fields = schema.fields().iter();
    let columns = fields.map(|field| {
        let name = field.name();
        if !is_name(name) {
            return Err(format!(
                "column '{name}' has a name that PostgreSQL cannot have, which are 1 to 63 bytes long; rename it in the SELECT"
            ));
        }
        let kind = Kind::of(field.data_type()).ok_or_else(|| {
            format!(
                "column '{name}' has type {}, for which PostgreSQL has none; CAST it",
                field.data_type()
            )
        })?;
        Ok(Column {
            name: name.clone(),
            kind,
            nullable: field.is_nullable(),
        })
    });
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::Kind;

    /// The modifier of `numeric(precision, scale)`.
    fn numeric(precision: i32, scale: i32) -> i32 {
        ((precision << 16) | (scale & 0x7ff)) + 4
    }

    #[test]
    fn a_type_that_would_round_does_not_fit() {
        let money = Kind::Numeric {
            precision: 18,
            scale: 2,
        };
        assert!(money.fits("numeric", -1));
        assert!(money.fits("numeric", numeric(10, 2)));
        assert!(money.fits("numeric", numeric(10, 4)));
        assert!(!money.fits("numeric", numeric(18, 1)));
        assert!(!money.fits("numeric", numeric(18, -2)));
        assert!(!money.fits("float8", -1));
        assert!(!Kind::BigInt.fits("numeric", numeric(18, -2)));
        assert!(!Kind::BigInt.fits("float8", -1));
        assert!(Kind::Timestamp.fits("timestamptz", -1));
        assert!(!Kind::Timestamp.fits("timestamptz", 0));
        assert!(!Kind::Double.fits("float4", -1));
    }
}
