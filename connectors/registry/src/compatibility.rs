//! What differs between two schemas, and what of it matters for a subject's level.

use serde_json::Value;
use tidemill_connectors_api::Error;
use tidemill_connectors_api::registry::{Compatibility, Difference, SchemaKind, SubjectVersion};

use crate::avro::{self, AvroSchema};
use crate::protobuf::{self, ProtobufSchema};
use crate::{Whole, invalid};

/// How many differences an error names.
const SHOWN_MAX: usize = 10;

/// Everything that is otherwise in a newer schema, whether it does harm or not: fields that are new, gone, or of another type.
///
/// ```
/// use tidemill_connectors_api::registry::{Schema, SchemaKind};
/// use tidemill_connectors_registry::{Whole, diff};
///
/// let schema = |of| {
///     let text = format!(r#"{{"type": "record", "name": "Payment", "fields": [{{"name": "amount", "type": "{of}"}}]}}"#);
///     Whole::alone(Schema::new(SchemaKind::Avro, text))
/// };
/// let differences = diff(&schema("string"), &schema("long")).unwrap();
/// assert_eq!(differences[0].to_string(), "'amount' was string, is long");
/// ```
///
/// # Errors
/// `Invalid` if one of the schemas is none.
pub fn diff(old: &Whole, new: &Whole) -> Result<Vec<Difference>, Error> {
    if let Some(other_kind) = other_kind(old, new) {
        return Ok(vec![other_kind]);
    }
    Ok(match new.schema.kind {
        SchemaKind::Avro => avro::diff(&AvroSchema::parse(old)?, &AvroSchema::parse(new)?),
        SchemaKind::Protobuf => protobuf::diff(
            &ProtobufSchema::compile(old)?,
            &ProtobufSchema::compile(new)?,
        ),
        SchemaKind::Json => {
            let mut found = Vec::new();
            json(&parsed(old)?, &parsed(new)?, "", &mut found);
            found
        }
    })
}

/// What keeps a schema from being the next version beside an older one, as a level asks it: each sentence says who reads what.
///
/// # Errors
/// `Invalid` if one of the schemas is none; or is a JSON Schema that differs, unless the level asks for nothing.
pub fn incompatible(
    level: Compatibility,
    older: (&SubjectVersion, &Whole),
    new: &Whole,
) -> Result<Vec<Difference>, Error> {
    let (at, older) = older;
    if level == Compatibility::None {
        return Ok(Vec::new());
    }
    if let Some(other_kind) = other_kind(older, new) {
        return Ok(vec![other_kind]);
    }
    let mut found = Vec::new();
    if level.reads_older() {
        let unreadable = unreadable(new, older)?;
        found.extend(worded(
            unreadable,
            &format!("the new schema must read {at}"),
        ));
    }
    if level.is_read_by_older() {
        let unreadable = unreadable(older, new)?;
        found.extend(worded(
            unreadable,
            &format!("{at} must read the new schema"),
        ));
    }
    Ok(found)
}

/// Refuses what is no schema, or refers to what is not there.
///
/// # Errors
/// `Invalid` with the reason.
pub fn check(whole: &Whole) -> Result<(), Error> {
    match whole.schema.kind {
        SchemaKind::Avro => AvroSchema::parse(whole).map(drop),
        SchemaKind::Protobuf => ProtobufSchema::compile(whole).map(drop),
        SchemaKind::Json => parsed(whole).map(drop),
    }
}

/// The refusal of a schema that differs so.
#[must_use]
pub fn refused(subject: &str, differences: &[Difference]) -> Error {
    let sentences: Vec<String> = differences
        .iter()
        .take(SHOWN_MAX)
        .map(ToString::to_string)
        .collect();
    let more = match differences.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    invalid(format!(
        "the schema is not compatible with subject '{subject}': {}{more}; mend it, write to a subject of its own, or lower the subject's \
         compatibility",
        sentences.join("; ")
    ))
}

/// True if two schemas are the same but for how they are laid out on the page.
///
/// # Errors
/// `Invalid` if one of them is none.
pub fn is_same(one: &Whole, other: &Whole) -> Result<bool, Error> {
    if one.schema.kind != other.schema.kind || one.schema.references != other.schema.references {
        return Ok(false);
    }
    if one.schema.text == other.schema.text {
        return Ok(true);
    }
    Ok(match one.schema.kind {
        SchemaKind::Avro | SchemaKind::Json => parsed(one)? == parsed(other)?,
        SchemaKind::Protobuf => {
            ProtobufSchema::compile(one)?.is_same(&ProtobufSchema::compile(other)?)
        }
    })
}

fn worded(found: Vec<Difference>, why: &str) -> impl Iterator<Item = Difference> {
    found
        .into_iter()
        .map(move |of| Difference::new(of.path, format!("{} ({why})", of.what)))
}

fn other_kind(old: &Whole, new: &Whole) -> Option<Difference> {
    let (old, new) = (old.schema.kind, new.schema.kind);
    (old != new).then(|| Difference::new("", format!("the schema was {old}, is {new}")))
}

fn unreadable(reader: &Whole, writer: &Whole) -> Result<Vec<Difference>, Error> {
    Ok(match reader.schema.kind {
        SchemaKind::Avro => {
            avro::unreadable(&AvroSchema::parse(reader)?, &AvroSchema::parse(writer)?)
        }
        SchemaKind::Protobuf => protobuf::unreadable(
            &ProtobufSchema::compile(reader)?,
            &ProtobufSchema::compile(writer)?,
        ),
        SchemaKind::Json => {
            return Err(invalid(
                "whether two JSON Schemas are compatible is checked by a registry alone: use 'schema.registry.url', or set the \
                 subject's compatibility to NONE"
                    .to_owned(),
            ));
        }
    })
}

fn parsed(whole: &Whole) -> Result<Value, Error> {
    serde_json::from_str(&whole.schema.text)
        .map_err(|error| invalid(format!("the text is no {}: {error}", whole.schema.kind)))
}

/// What differs in JSON, member by member.
fn json(old: &Value, new: &Value, path: &str, found: &mut Vec<Difference>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            found.push(Difference::new(path, format!("was {old}, is {new}")));
        }
        return;
    };
    let within = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    for (name, new) in new {
        match old.get(name) {
            Some(old) => json(old, new, &within(name), found),
            None => found.push(Difference::new(within(name), format!("is new: {new}"))),
        }
    }
    for (name, old) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        let what = format!("is gone: it was {old}");
        found.push(Difference::new(within(name), what));
    }
}
