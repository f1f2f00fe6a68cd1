//! Lines of fields, by RFC 4180: nothing is null, two quotes are the empty text. And single values in the same form, without quotes.
//!
//! The library for CSV reads an empty field and two quotes as one, and forgives quotes at wrong places: so the rules stand here once more.

use serde_json::{Map, Value as Json};

use super::shape::Shape;
use crate::value::Type;

/// A field as it stands in its line.
#[derive(Debug, PartialEq, Eq)]
enum Text {
    Plain(String),
    Quoted(String),
}

/// A line of a state's members.
pub fn encode(shape: &Shape, state: &Json) -> Option<Vec<u8>> {
    let state = state.as_object()?;
    let fields = shape
        .fields()
        .iter()
        .map(|field| match state.get(&field.name) {
            None | Some(Json::Null) => Some(String::new()),
            Some(Json::String(text)) => Some(format!("\"{}\"", text.replace('"', "\"\""))),
            Some(value @ (Json::Number(_) | Json::Bool(_))) => Some(value.to_string()),
            Some(_) => None,
        });
    let fields: Option<Vec<_>> = fields.collect();
    Some(fields?.join(",").into_bytes())
}

/// The members in a line.
pub fn decode(shape: &Shape, line: &[u8]) -> Option<Json> {
    let fields = split(std::str::from_utf8(line).ok()?)?;
    if fields.len() != shape.fields().len() {
        return None;
    }
    let mut state = Map::new();
    for (field, text) in shape.fields().iter().zip(fields) {
        let Shape::Of(ty) = field.shape else {
            return None;
        };
        state.insert(field.name.clone(), value(ty, text));
    }
    Some(Json::Object(state))
}

/// The text of the one member that a shape has; of none the empty one.
pub fn encode_bare(shape: &Shape, state: &Json) -> Option<Vec<u8>> {
    let [field] = shape.fields() else {
        return None;
    };
    let text = match state.as_object()?.get(&field.name) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    Some(text.into_bytes())
}

/// The one member that a text is.
pub fn decode_bare(shape: &Shape, text: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(text).ok()?.to_owned();
    let [field] = shape.fields() else {
        return None;
    };
    let Shape::Of(ty) = field.shape else {
        return None;
    };
    let state = (field.name.clone(), value(ty, Text::Quoted(text)));
    Some(Json::Object(Map::from_iter([state])))
}

/// A field as the JSON that it would be; a text where it is none of the type.
fn value(ty: Type, field: Text) -> Json {
    let text = match field {
        Text::Plain(text) if text.is_empty() => return Json::Null,
        Text::Plain(text) | Text::Quoted(text) => text,
    };
    let scalar = match ty {
        Type::Int | Type::Time => text.parse().map(|number: i64| Json::from(number)).ok(),
        Type::Double => text.parse().map(|number: f64| Json::from(number)).ok(),
        Type::Bool => text.parse().map(|is: bool| Json::from(is)).ok(),
        Type::Decimal(_) | Type::Text | Type::Date | Type::Uuid | Type::Bytes | Type::Nested(_) => {
            None
        }
    };
    scalar.unwrap_or(Json::String(text))
}

/// A line's fields; none if its quotes are at wrong places.
fn split(line: &str) -> Option<Vec<Text>> {
    let mut fields = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        let mut text = String::new();
        let is_quoted = chars.next_if_eq(&'"').is_some();
        if is_quoted {
            loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => text.push('"'),
                    '"' => break,
                    other => text.push(other),
                }
            }
        } else {
            while let Some(of) = chars.next_if(|of| *of != ',') {
                if matches!(of, '"' | '\r' | '\n') {
                    return None;
                }
                text.push(of);
            }
        }
        fields.push(if is_quoted {
            Text::Quoted(text)
        } else {
            Text::Plain(text)
        });
        match chars.next() {
            None => return Some(fields),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, split};

    #[test]
    fn lines_are_split_by_the_rules() {
        let plain = |text: &str| Text::Plain(text.to_owned());
        let quoted = |text: &str| Text::Quoted(text.to_owned());
        let fields = vec![plain("a"), plain(""), quoted(""), quoted("b \"c\", d")];
        assert_eq!(split(r#"a,,"","b ""c"", d""#), Some(fields));
        for wrong in ["\"open", "a\"b", "\"a\"b", "a\nb"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
