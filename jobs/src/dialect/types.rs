//! The types of columns: `BIGINT`, `ARRAY<VARCHAR>`, `STRUCT<city VARCHAR, zip INT>`, `MAP<VARCHAR, BIGINT>`.
//!
//! An array can also be written as `VARCHAR ARRAY` or `VARCHAR[]`, a struct as `ROW`, and parentheses may stand for angle brackets: as in
//! Flink, PostgreSQL and DuckDB.

use arrow_schema::{DataType, TimeUnit};
use datafusion_sql::sqlparser::tokenizer::Token;
use tidemill_types::sql_type;

use super::cursor::Cursor;
use crate::error::Error;

const TYPES: &str = "BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, DATE, TIMESTAMP, UUID, ARRAY<type>, STRUCT<name type, …> or MAP<VARCHAR, type>";
/// How many types lie in one another at most.
const DEPTH_MAX: usize = 32;

/// Reads a type.
///
/// # Errors
/// At the first place that is not of one.
pub fn data_type(cursor: &mut Cursor) -> Result<DataType, Error> {
    within(cursor, DEPTH_MAX)
}

/// Reads a type in which so many may lie in one another.
fn within(cursor: &mut Cursor, depth: usize) -> Result<DataType, Error> {
    let at = cursor.at();
    let Some(depth) = depth.checked_sub(1) else {
        let message = format!("more than {DEPTH_MAX} types lie in one another; flatten them");
        return Err(Error::contradiction(at, message));
    };
    let name = cursor.name(&format!("a type: {TYPES}"))?;
    let mut of = match name.text.as_str() {
        "boolean" | "bool" => DataType::Boolean,
        "int" | "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "double" => {
            cursor.takes(&["PRECISION"]);
            DataType::Float64
        }
        "decimal" | "numeric" => decimal(cursor)?,
        "varchar" | "text" | "string" => DataType::Utf8,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "uuid" => DataType::FixedSizeBinary(16),
        "array" => sql_type::array(bracketed(cursor, |cursor| within(cursor, depth))?),
        "struct" | "row" => bracketed(cursor, |cursor| structure(cursor, depth))?,
        "map" => bracketed(cursor, |cursor| map(cursor, depth))?,
        _ => {
            return Err(Error::Unknown {
                at: name.at,
                what: "type",
                name: name.text,
                hint: format!("; use {TYPES}"),
            });
        }
    };
    for _ in 0..=depth {
        if !takes_array(cursor)? {
            return Ok(of);
        }
        of = sql_type::array(of);
    }
    Err(Error::contradiction(
        at,
        format!("more than {DEPTH_MAX} types lie in one another; flatten them"),
    ))
}

/// Steps over `ARRAY` or `[]`, if it is next.
fn takes_array(cursor: &mut Cursor) -> Result<bool, Error> {
    if cursor.takes(&["ARRAY"]) {
        return Ok(true);
    }
    if !cursor.takes_token(&Token::LBracket) {
        return Ok(false);
    }
    cursor.expect_token(&Token::RBracket)?;
    Ok(true)
}

/// What stands between `<` and `>`, or between parentheses.
fn bracketed<T>(
    cursor: &mut Cursor,
    inner: impl FnOnce(&mut Cursor) -> Result<T, Error>,
) -> Result<T, Error> {
    if cursor.takes_token(&Token::LParen) {
        let inner = inner(cursor)?;
        cursor.expect_token(&Token::RParen)?;
        return Ok(inner);
    }
    cursor.expect_token(&Token::Lt)?;
    let inner = inner(cursor)?;
    cursor.expect_closing_angle()?;
    Ok(inner)
}

/// `name type, …`.
fn structure(cursor: &mut Cursor, depth: usize) -> Result<DataType, Error> {
    let mut fields: Vec<(String, DataType)> = Vec::new();
    loop {
        let name = cursor.name("the name of a field")?;
        if fields.iter().any(|(known, _)| *known == name.text) {
            let message = format!("the field '{}' is declared twice", name.text);
            return Err(Error::contradiction(name.at, message));
        }
        fields.push((name.text, within(cursor, depth)?));
        if !cursor.takes_token(&Token::Comma) {
            return Ok(sql_type::structure(fields));
        }
    }
}

/// `VARCHAR, type`.
fn map(cursor: &mut Cursor, depth: usize) -> Result<DataType, Error> {
    let at = cursor.at();
    let key = within(cursor, depth)?;
    if key != DataType::Utf8 {
        let message = format!(
            "the keys of a MAP are VARCHAR, not {}: names of members are texts; write MAP<VARCHAR, …>",
            sql_type::name(&key)
        );
        return Err(Error::contradiction(at, message));
    }
    cursor.expect_token(&Token::Comma)?;
    Ok(sql_type::map(within(cursor, depth)?))
}

fn decimal(cursor: &mut Cursor) -> Result<DataType, Error> {
    let at = cursor.at();
    cursor.expect_token(&Token::LParen)?;
    let precision = cursor.number("the number of digits")?;
    cursor.expect_token(&Token::Comma)?;
    let scale = cursor.number("the number of digits after the point")?;
    cursor.expect_token(&Token::RParen)?;
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if scale <= precision => Ok(DataType::Decimal128(p, s)),
        _ => Err(Error::contradiction(
            at,
            format!(
                "DECIMAL({precision}, {scale}) is out of range: 1 to 38 digits, at most all of them after the point"
            ),
        )),
    }
}
