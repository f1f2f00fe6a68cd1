//! Columns from the values of a sample: the narrowest type of SQL that takes all that was seen.

use serde_json::{Map, Value as Json};
use tidemill_types::{RawRecord, RawRecords, sql_type};
use uuid::Uuid;

use super::shape;
use crate::temporal;

/// So deep members are columns of their own; what is deeper is in a struct.
const DEPTH_MAX: usize = 3;
/// So deep structs and arrays lie in one another at most.
const NESTED_MAX: usize = 8;
/// So many digits behind the point are money; more are floating point.
const SCALE_MAX: usize = 6;
/// Numbers between these are times in milliseconds, if their name says so: the years 2001 and 2100.
const TIMES_MS: std::ops::Range<i64> = 1_000_000_000_000..4_102_444_800_000;

/// A column to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedColumn {
    /// Its name.
    pub name: String,
    /// Its type in SQL.
    pub sql_type: String,
    /// What follows the type: where its values come from, if that is not the member of its name.
    pub from: String,
}

/// What was seen of the members of a sample, in the order of their first coming.
#[derive(Debug, Default)]
pub struct Columns {
    seen: Vec<(Vec<String>, Kind)>,
}

/// The values that were seen of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Unknown,
    Boolean,
    Integer {
        is_time: bool,
    },
    Decimal {
        scale: usize,
    },
    Double,
    Uuid,
    Date,
    Timestamp,
    Text,
    Array(Box<Kind>),
    /// The members, in the order of their first coming.
    Struct(Vec<(String, Kind)>),
    /// Values that no one type takes.
    Mixed,
}

impl ProposedColumn {
    /// A column of the member of its name.
    pub fn member(name: &str, sql_type: &str) -> Self {
        Self {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            from: String::new(),
        }
    }

    /// A column of a metadata field.
    pub fn metadata(name: &str, sql_type: &str, field: &str) -> Self {
        Self {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
            from: format!("METADATA FROM '{field}'"),
        }
    }
}

impl Columns {
    /// Looks at a state.
    pub fn add(&mut self, state: &Map<String, Json>) {
        self.add_within(&mut Vec::new(), state);
    }

    /// Looks at the fields of a line.
    pub fn add_texts(&mut self, fields: &[String]) {
        for (i, field) in fields.iter().enumerate() {
            let kind = if field.is_empty() {
                Kind::Unknown
            } else {
                of_plain_text(field)
            };
            self.see(&[format!("field_{}", i + 1)], kind);
        }
    }

    fn add_within(&mut self, outer: &mut Vec<String>, state: &Map<String, Json>) {
        for (name, value) in state {
            outer.push(name.clone());
            match value {
                Json::Object(inner) if outer.len() < DEPTH_MAX => self.add_within(outer, inner),
                value => self.see(outer, Kind::of(name, value, NESTED_MAX)),
            }
            outer.pop();
        }
    }

    fn see(&mut self, path: &[String], kind: Kind) {
        match self.seen.iter_mut().find(|(seen, _)| seen == path) {
            Some((_, before)) => {
                let so_far = std::mem::replace(before, Kind::Unknown);
                *before = so_far.and(kind);
            }
            None => self.seen.push((path.to_vec(), kind)),
        }
    }

    /// The columns; of two with one name the later one has its whole path as name.
    pub fn propose(&self) -> Vec<ProposedColumn> {
        let mut columns: Vec<ProposedColumn> = Vec::new();
        for (path, kind) in self.seen.iter().filter(|(path, _)| !self.is_object(path)) {
            let Some(sql_type) = kind.sql_type() else {
                continue;
            };
            let last = path.last().map_or("", String::as_str);
            let is_taken = columns.iter().any(|column| column.name == identifier(last));
            let name = if is_taken {
                identifier(&path.join("_"))
            } else {
                identifier(last)
            };
            let from = if path.len() > 1 || name.trim_matches('"') != last {
                format!("FROM '{}'", path.join("."))
            } else {
                String::new()
            };
            columns.push(ProposedColumn {
                name,
                sql_type,
                from,
            });
        }
        columns
    }

    /// True if a member is an object in some records: the members of that are columns.
    fn is_object(&self, path: &[String]) -> bool {
        let mut others = self.seen.iter().map(|(other, _)| other);
        others.any(|other| other.len() > path.len() && other.starts_with(path))
    }

    /// What a person should know of them.
    pub fn notes(&self) -> Vec<String> {
        let is_left_out = |path: &[String], kind: &Kind| {
            let is_nested = matches!(kind, Kind::Array(_) | Kind::Struct(_));
            kind.sql_type().is_none() || is_nested && self.is_object(path)
        };
        let seen = self.seen.iter();
        let left_out = seen.filter(|(path, kind)| is_left_out(path, kind));
        let left_out: Vec<_> = left_out.map(|(path, _)| path.join(".")).collect();
        if left_out.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "left out, since no one type takes what was seen of them: {}",
            left_out.join(", ")
        )]
    }
}

/// The metadata of the studio's envelope.
pub fn of_crud(records: &[RawRecords]) -> Vec<ProposedColumn> {
    let first = records.iter().flat_map(RawRecords::iter);
    let event = first.filter_map(|record: RawRecord<'_>| shape::state(&record, "plain"));
    let id = event.filter_map(|event| event.get("id").cloned()).next();
    let id_type = match id {
        Some(Json::String(text)) if Uuid::try_parse(&text).is_ok() => "UUID",
        Some(Json::String(_)) => "VARCHAR",
        _ => "BIGINT",
    };
    vec![
        ProposedColumn::metadata("id", &format!("{id_type} NOT NULL"), "id"),
        ProposedColumn::metadata("uuid", "VARCHAR NOT NULL", "uuid"),
        ProposedColumn::metadata("ts", "TIMESTAMP NOT NULL", "ts"),
    ]
}

/// A name as SQL takes it.
fn identifier(name: &str) -> String {
    let is_plain = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', ""))
    }
}

/// Names that mean something else without quotes.
const RESERVED: [&str; 12] = [
    "from",
    "to",
    "order",
    "group",
    "select",
    "where",
    "table",
    "user",
    "end",
    "start",
    "key",
    "watermark",
];

impl Kind {
    /// What a value is that lies in no more than so many others.
    fn of(name: &str, value: &Json, depth: usize) -> Self {
        let inner = |name: &str, value: &Json| match depth.checked_sub(1) {
            Some(depth) => Self::of(name, value, depth),
            None => Self::Mixed,
        };
        match value {
            Json::Array(items) => {
                let items = items.iter().map(|item| inner(name, item));
                Self::Array(Box::new(items.fold(Self::Unknown, Self::and)))
            }
            Json::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, value)| (name.clone(), inner(name, value)));
                Self::Struct(members.collect())
            }
            Json::Bool(_) => Self::Boolean,
            Json::Number(number) => Self::of_number(name, &number.to_string()),
            Json::String(text) => of_text(text),
            _ => Self::Unknown,
        }
    }

    fn of_number(name: &str, text: &str) -> Self {
        if let Ok(integer) = text.parse::<i64>() {
            let says_time = ["_at", "ts", "time", "timestamp", "_ms"]
                .iter()
                .any(|end| name.ends_with(end));
            return Self::Integer {
                is_time: says_time && TIMES_MS.contains(&integer),
            };
        }
        match text.split_once('.') {
            Some((_, fraction)) if fraction.len() <= SCALE_MAX && !text.contains('e') => {
                Self::Decimal {
                    scale: fraction.len(),
                }
            }
            _ => Self::Double,
        }
    }

    /// What takes both.
    fn and(self, other: Self) -> Self {
        use Kind::{
            Array, Date, Decimal, Double, Integer, Mixed, Struct, Text, Timestamp, Unknown,
        };
        match (self, other) {
            (Unknown, kind) | (kind, Unknown) => kind,
            (a, b) if a == b => a,
            (Array(a), Array(b)) => Array(Box::new(a.and(*b))),
            (Struct(a), Struct(b)) => Struct(merged(a, b)),
            (Array(_) | Struct(_) | Mixed, _) | (_, Array(_) | Struct(_) | Mixed) => Mixed,
            (Integer { .. }, Integer { .. }) => Integer { is_time: false },
            (Integer { .. }, Decimal { scale }) | (Decimal { scale }, Integer { .. }) => {
                Decimal { scale }
            }
            (Decimal { scale: a }, Decimal { scale: b }) => Decimal { scale: a.max(b) },
            (Double, Integer { .. } | Decimal { .. })
            | (Integer { .. } | Decimal { .. }, Double) => Double,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            _ => Text,
        }
    }

    /// The type in SQL; none if no one type takes all values.
    fn sql_type(&self) -> Option<String> {
        Some(match self {
            Self::Unknown | Self::Text => "VARCHAR".to_owned(),
            Self::Boolean => "BOOLEAN".to_owned(),
            Self::Integer { is_time: false } => "BIGINT".to_owned(),
            Self::Integer { is_time: true } | Self::Timestamp => "TIMESTAMP".to_owned(),
            Self::Decimal { scale } => format!("DECIMAL(18, {scale})"),
            Self::Double => "DOUBLE".to_owned(),
            Self::Uuid => "UUID".to_owned(),
            Self::Date => "DATE".to_owned(),
            Self::Array(element) => format!("ARRAY<{}>", element.sql_type()?),
            Self::Struct(members) if members.is_empty() => return None,
            Self::Struct(members) => {
                let members = members.iter().map(|(name, kind)| {
                    let of = kind.sql_type()?;
                    Some(format!("{} {of}", sql_type::identifier(name)))
                });
                let members: Vec<_> = members.collect::<Option<_>>()?;
                format!("STRUCT<{}>", members.join(", "))
            }
            Self::Mixed => return None,
        })
    }
}

/// The members of two structs.
fn merged(mut members: Vec<(String, Kind)>, others: Vec<(String, Kind)>) -> Vec<(String, Kind)> {
    for (name, kind) in others {
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => {
                let so_far = std::mem::replace(before, Kind::Unknown);
                *before = so_far.and(kind);
            }
            None => members.push((name, kind)),
        }
    }
    members
}

/// A text in JSON: numbers in quotes are money, if they have a point.
fn of_text(text: &str) -> Kind {
    if Uuid::try_parse(text).is_ok() {
        return Kind::Uuid;
    }
    if temporal::parse_date(text).is_some() {
        return Kind::Date;
    }
    if text.len() > 10 && temporal::parse_timestamp(text).is_some() {
        return Kind::Timestamp;
    }
    match text.split_once('.') {
        Some((whole, fraction)) if is_decimal(whole) && is_digits(fraction) => Kind::Decimal {
            scale: fraction.len(),
        },
        _ => Kind::Text,
    }
}

/// A text without quotes: numbers are numbers.
fn of_plain_text(text: &str) -> Kind {
    match text {
        "true" | "false" => Kind::Boolean,
        _ if text.parse::<i64>().is_ok() => Kind::Integer { is_time: false },
        _ => of_text(text),
    }
}

fn is_decimal(whole: &str) -> bool {
    is_digits(whole.strip_prefix('-').unwrap_or(whole))
}

fn is_digits(text: &str) -> bool {
    (1..=SCALE_MAX * 3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}
