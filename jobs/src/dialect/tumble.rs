//! `TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' DAY))`: read out of a query's tokens and replaced by a table's name, because the
//! query parser does not know it. Equal windows get equal names.

use datafusion_sql::sqlparser::keywords::Keyword;
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::Name;
use super::cursor::{Cursor, location};
use crate::error::{Error, Location};

/// One window over a table or stream, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TumbleText {
    /// The name that stands for it in the query.
    pub name: String,
    /// The table or stream.
    pub table: Name,
    /// The event-time column.
    pub time: Name,
    /// The size in milliseconds.
    pub size_ms: i64,
    /// Where it stands.
    pub at: Location,
}

/// The form that is understood, for errors.
pub const FORM: &str = "FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' DAY))";

/// Replaces the windows among the tokens that the cursor has left; the cursor is then at its end.
pub fn extract(cursor: &mut Cursor) -> Result<(Vec<TokenWithSpan>, Vec<TumbleText>), Error> {
    let mut tokens = Vec::with_capacity(cursor.rest().len());
    let mut windows = Vec::new();
    while let Some(token) = cursor.rest().first().cloned() {
        if !sees_table_function(cursor) {
            tokens.push(token);
            cursor.skip();
            continue;
        }
        let window = window(cursor)?;
        let word = Word {
            value: window.name.clone(),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        };
        tokens.push(TokenWithSpan {
            token: Token::Word(word),
            span: token.span,
        });
        windows.push(window);
    }
    Ok((tokens, windows))
}

/// `TABLE (` followed by a word: nothing else in SQL looks like it but a table function.
fn sees_table_function(cursor: &Cursor) -> bool {
    cursor.sees(&["TABLE"])
        && matches!(
            cursor.rest(),
            [
                _,
                TokenWithSpan {
                    token: Token::LParen,
                    ..
                },
                TokenWithSpan {
                    token: Token::Word(_),
                    ..
                },
                ..
            ]
        )
}

fn window(cursor: &mut Cursor) -> Result<TumbleText, Error> {
    let at = cursor.at();
    cursor.expect(&["TABLE"])?;
    cursor.expect_token(&Token::LParen)?;
    let function = cursor.name("TUMBLE")?;
    if function.text != "tumble" {
        return Err(Error::unsupported(
            function.at,
            format!("the table function '{}' is", function.text.to_uppercase()),
            format!("use {FORM}"),
        ));
    }
    cursor.expect_token(&Token::LParen)?;
    cursor.expect(&["TABLE"])?;
    let table = cursor.name("the name of a table or stream")?;
    cursor.expect_token(&Token::Comma)?;
    cursor.expect(&["DESCRIPTOR"])?;
    cursor.expect_token(&Token::LParen)?;
    let time = cursor.name("the event-time column")?;
    cursor.expect_token(&Token::RParen)?;
    cursor.expect_token(&Token::Comma)?;
    let size_at = cursor.rest().first().map_or(at, location);
    let size_ms = cursor.interval()?;
    if size_ms == 0 {
        return Err(Error::contradiction(
            size_at,
            "a window needs a size above zero",
        ));
    }
    cursor.expect_token(&Token::RParen)?;
    cursor.expect_token(&Token::RParen)?;
    let name = format!("tumble({}, {}, {size_ms} ms)", table.text, time.text);
    Ok(TumbleText {
        name,
        table,
        time,
        size_ms,
        at,
    })
}
