//! PostgreSQL's text form of a value as JSON: as `docs/formats/json.md` reads it, or the text as it is.
//!
//! Promises: what is written is JSON whatever the text is; numbers keep their digits. A value that JSON has no form for (`NaN`, `infinity`, a
//! year before Christ) stays the text, which a column of such a type does not take: its record is a dead letter, and nothing is made up.
//! The sessions that the texts come from have `DateStyle` ISO and the time zone UTC.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_postgres::types::{Kind as TypeKind, Type};

/// How a type's text form becomes JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Number,
    /// It is JSON already.
    Json,
    Timestamp,
    /// With a time zone, which is UTC.
    Zoned,
    Bytes,
    Text,
    Array(Box<Kind>),
}

impl Kind {
    /// That of a type of PostgreSQL's own; none of a type that somebody made.
    pub fn of(oid: u32) -> Option<Self> {
        let of = Type::from_oid(oid)?;
        if let TypeKind::Array(member) = of.kind() {
            // The boxes of an array have ';' between them.
            return Some(match Self::of(member.oid()) {
                Some(member) if oid != Type::BOX_ARRAY.oid() => Self::Array(Box::new(member)),
                _ => Self::Text,
            });
        }
        Some(match of {
            Type::BOOL => Self::Bool,
            Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC => Self::Number,
            Type::JSON | Type::JSONB => Self::Json,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::Zoned,
            Type::BYTEA => Self::Bytes,
            _ => Self::Text,
        })
    }

    /// Appends a value.
    pub fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Bool if text == b"t" => out.extend_from_slice(b"true"),
            Self::Bool if text == b"f" => out.extend_from_slice(b"false"),
            Self::Number if is_number(text) => out.extend_from_slice(text),
            Self::Json if !text.is_empty() => out.extend_from_slice(text),
            Self::Timestamp if is_instant(text) => write_instant(text, out),
            Self::Zoned => match text.strip_suffix(b"+00") {
                Some(text) if is_instant(text) => write_instant(text, out),
                _ => write_text(text, out),
            },
            Self::Bytes => write_bytes(text, out),
            Self::Array(member) => {
                let start = out.len();
                if write_array(member, text, out).is_none() {
                    out.truncate(start);
                    write_text(text, out);
                }
            }
            Self::Bool | Self::Number | Self::Json | Self::Timestamp | Self::Text => {
                write_text(text, out);
            }
        }
    }
}

/// `NaN` and `Infinity` are none.
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.first().is_some_and(u8::is_ascii_digit)
}

/// Four digits of a year, and nothing behind the time.
fn is_instant(text: &[u8]) -> bool {
    text.get(4) == Some(&b'-')
        && text.get(10) == Some(&b' ')
        && text.last().is_some_and(u8::is_ascii_digit)
}

fn write_instant(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(&text[..10]);
    out.push(b'T');
    out.extend_from_slice(&text[11..]);
    out.extend_from_slice(b"Z\"");
}

/// Bytes come in hexadecimal digits; should they not, they stay as they are.
fn write_bytes(text: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.strip_prefix(b"\\x").and_then(|digits| {
        let pairs = digits.chunks(2);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        pairs.map(byte).collect::<Option<Vec<u8>>>()
    });
    match bytes {
        Some(bytes) => write_text(STANDARD.encode(bytes).as_bytes(), out),
        None => write_text(text, out),
    }
}

/// Appends a text with its quotes. Bytes that are no UTF-8, which a database can only have where its encoding is `SQL_ASCII`, are replaced.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    match str::from_utf8(text) {
        Ok(_) => write_escaped(text, out),
        Err(_) => write_escaped(String::from_utf8_lossy(text).as_bytes(), out),
    }
    out.push(b'"');
}

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&text[plain..]);
}

/// Appends an array: `{1,NULL,"a, b"}`, in it others of its kind, before it perhaps bounds (`[0:1]=`). None if it is none.
fn write_array(member: &Kind, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = match text.first()? {
        b'[' => memchr::memchr(b'=', text)? + 1,
        _ => 0,
    };
    let mut rest = &text[start..];
    let mut depth = 0_usize;
    let mut element = Vec::new();
    loop {
        let (&first, behind) = rest.split_first()?;
        match first {
            b'{' => {
                depth += 1;
                out.push(b'[');
                rest = behind;
                if let Some(behind) = rest.strip_prefix(b"}") {
                    depth -= 1;
                    out.push(b']');
                    rest = behind;
                } else {
                    continue;
                }
            }
            _ if depth == 0 => return None,
            b'"' => {
                rest = quoted(behind, &mut element)?;
                member.write(&element, out);
            }
            _ => {
                let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
                let (text, behind) = rest.split_at(end);
                match text {
                    b"NULL" => out.extend_from_slice(b"null"),
                    _ => member.write(text, out),
                }
                rest = behind;
            }
        }
        // Behind an element arrays end, and others begin.
        while let Some(behind) = rest.strip_prefix(b"}") {
            depth = depth.checked_sub(1)?;
            out.push(b']');
            rest = behind;
        }
        if depth == 0 {
            return rest.is_empty().then_some(());
        }
        rest = rest.strip_prefix(b",")?;
        out.push(b',');
    }
}

/// Reads an element in quotes; what is behind it.
fn quoted<'a>(text: &'a [u8], element: &mut Vec<u8>) -> Option<&'a [u8]> {
    element.clear();
    let mut rest = text;
    loop {
        let (&first, behind) = rest.split_first()?;
        rest = behind;
        match first {
            b'"' => return Some(rest),
            b'\\' => {
                let (&escaped, behind) = rest.split_first()?;
                element.push(escaped);
                rest = behind;
            }
            byte => element.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio_postgres::types::Type;

    use super::Kind;

    fn written(of: &Type, text: &str) -> String {
        let mut out = Vec::new();
        Kind::of(of.oid()).unwrap().write(text.as_bytes(), &mut out);
        let out = String::from_utf8(out).unwrap();
        serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{out}: {error}"));
        out
    }

    #[test]
    fn a_value_is_what_the_json_format_reads() {
        for (of, text, json) in [
            (Type::BOOL, "t", "true"),
            (Type::INT8, "-9223372036854775808", "-9223372036854775808"),
            (
                Type::NUMERIC,
                "12.3400000000000000000001",
                "12.3400000000000000000001",
            ),
            (Type::NUMERIC, "NaN", "\"NaN\""),
            (Type::FLOAT8, "1e+20", "1e+20"),
            (Type::FLOAT8, "-Infinity", "\"-Infinity\""),
            (Type::JSONB, "{\"a\": [1, null]}", "{\"a\": [1, null]}"),
            (Type::DATE, "2026-05-01", "\"2026-05-01\""),
            (Type::DATE, "0044-03-15 BC", "\"0044-03-15 BC\""),
            (
                Type::TIMESTAMP,
                "2026-05-01 09:30:00.25",
                "\"2026-05-01T09:30:00.25Z\"",
            ),
            (Type::TIMESTAMP, "infinity", "\"infinity\""),
            (
                Type::TIMESTAMP,
                "0044-03-15 01:02:03 BC",
                "\"0044-03-15 01:02:03 BC\"",
            ),
            (
                Type::TIMESTAMP,
                "12026-05-01 01:02:03",
                "\"12026-05-01 01:02:03\"",
            ),
            (
                Type::TIMESTAMPTZ,
                "2026-05-01 09:30:00+00",
                "\"2026-05-01T09:30:00Z\"",
            ),
            (
                Type::TIMESTAMPTZ,
                "2026-05-01 09:30:00+02",
                "\"2026-05-01 09:30:00+02\"",
            ),
            (Type::BYTEA, "\\x666f6f", "\"Zm9v\""),
            (Type::BYTEA, "\\x", "\"\""),
            (
                Type::TEXT,
                "a\"b\\c\nd\u{1}é",
                "\"a\\\"b\\\\c\\nd\\u0001é\"",
            ),
            (
                Type::UUID,
                "0190f3a1-7b2c-7def-8123-456789abcdef",
                "\"0190f3a1-7b2c-7def-8123-456789abcdef\"",
            ),
            (Type::MONEY, "$1.00", "\"$1.00\""),
        ] {
            assert_eq!(written(&of, text), json);
        }
    }

    #[test]
    fn an_array_is_one_and_what_is_none_stays_a_text() {
        for (of, text, json) in [
            (Type::INT4_ARRAY, "{1,NULL,3}", "[1,null,3]"),
            (Type::INT4_ARRAY, "{}", "[]"),
            (
                Type::INT4_ARRAY,
                "[0:1][1:2]={{1,2},{3,4}}",
                "[[1,2],[3,4]]",
            ),
            (
                Type::TEXT_ARRAY,
                r#"{a,"b, \"c\"","NULL",NULL,""}"#,
                r#"["a","b, \"c\"","NULL",null,""]"#,
            ),
            (
                Type::TIMESTAMP_ARRAY,
                r#"{"2026-05-01 09:30:00"}"#,
                r#"["2026-05-01T09:30:00Z"]"#,
            ),
            (Type::BOOL_ARRAY, "{t,f}", "[true,false]"),
            (
                Type::JSONB_ARRAY,
                r#"{"{\"a\": 1}",null}"#,
                r#"[{"a": 1},null]"#,
            ),
            (Type::BYTEA_ARRAY, r#"{"\\x666f6f"}"#, r#"["Zm9v"]"#),
            (
                Type::BOX_ARRAY,
                "{(1,1),(0,0);(2,2),(1,1)}",
                r#""{(1,1),(0,0);(2,2),(1,1)}""#,
            ),
            (Type::INT4_ARRAY, "{1", "\"{1\""),
            (Type::INT4_ARRAY, "1}", "\"1}\""),
            (Type::INT4_ARRAY, "", "\"\""),
        ] {
            assert_eq!(written(&of, text), json);
        }
    }
}
