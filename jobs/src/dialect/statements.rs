//! The grammar of the dialect's statements.

use std::collections::BTreeSet;

use datafusion_sql::sqlparser::tokenizer::Token;

use super::cursor::{self, Cursor, location};
use super::{
    ColumnFrom, ColumnStatement, DeduplicateClause, Name, OptionStatement, QueryText,
    ResequenceClause, SinkStatement, SourceStatement, Statement, StreamStatement, TableStatement,
    ViewStatement, WatermarkStatement, parts, tumble, types,
};
use crate::error::Error;
use crate::options;

/// Reads the statements of a job.
///
/// # Errors
/// At the first place that is not of the dialect.
pub fn parse(sql: &str) -> Result<Vec<Statement>, Error> {
    cursor::statements(sql)?
        .into_iter()
        .map(|mut cursor| statement(&mut cursor))
        .collect()
}

fn statement(cursor: &mut Cursor) -> Result<Statement, Error> {
    let known = "CREATE SOURCE, CREATE TABLE, CREATE STREAM, CREATE VIEW or CREATE SINK";
    if !cursor.takes(&["CREATE"]) {
        return Err(cursor.expected(known));
    }
    let statement = if cursor.takes(&["SOURCE"]) {
        Statement::Source(source(cursor)?)
    } else if cursor.takes(&["TABLE"]) {
        Statement::Table(table(cursor)?)
    } else if cursor.takes(&["STREAM"]) {
        Statement::Stream(stream(cursor)?)
    } else if cursor.takes(&["VIEW"]) {
        let name = cursor.name("the view's name")?;
        Statement::View(ViewStatement {
            name,
            query: query(cursor)?,
        })
    } else if cursor.takes(&["SINK"]) {
        let name = cursor.name("the sink's name")?;
        let options = with_options(cursor)?;
        Statement::Sink(SinkStatement {
            name,
            options,
            query: query(cursor)?,
        })
    } else {
        return Err(cursor.expected(known));
    };
    Ok(statement)
}

fn source(cursor: &mut Cursor) -> Result<SourceStatement, Error> {
    let name = cursor.name("the source's name")?;
    let mut columns: Vec<ColumnStatement> = Vec::new();
    let mut watermark = None;
    // Without a list the columns are those of the contract.
    let mut is_open = cursor.takes_token(&Token::LParen);
    while is_open {
        let at = cursor.at();
        if cursor.takes(&["WATERMARK", "FOR"]) {
            if watermark.replace(watermark_clause(cursor)?).is_some() {
                return Err(Error::contradiction(
                    at,
                    "a source has one watermark; this is the second",
                ));
            }
        } else {
            let column = column(cursor)?;
            if columns
                .iter()
                .any(|other| other.name.text == column.name.text)
            {
                let message = format!("the column '{}' is declared twice", column.name.text);
                return Err(Error::contradiction(column.name.at, message));
            }
            columns.push(column);
        }
        is_open = cursor.takes_token(&Token::Comma);
        if !is_open {
            cursor.expect_token(&Token::RParen)?;
        }
    }
    let options = with_options(cursor)?;
    cursor.expect_end("the end of the statement")?;
    Ok(SourceStatement {
        name,
        columns,
        watermark,
        options,
    })
}

fn column(cursor: &mut Cursor) -> Result<ColumnStatement, Error> {
    let name = cursor.name("a column or WATERMARK FOR")?;
    let data_type = types::data_type(cursor)?;
    let mut column = ColumnStatement {
        name,
        data_type,
        not_null: false,
        from: ColumnFrom::ItsName,
    };
    loop {
        if cursor.takes(&["NOT", "NULL"]) {
            column.not_null = true;
        } else if cursor.takes(&["METADATA", "FROM"]) {
            let field = cursor.text("the envelope's field in quotes, such as 'ts'")?;
            column.from = ColumnFrom::Metadata(field);
        } else if cursor.takes(&["FROM"]) {
            let path = cursor.text("the member's path in quotes, such as 'address.city'")?;
            column.from = ColumnFrom::Member(path);
        } else {
            return Ok(column);
        }
    }
}

fn watermark_clause(cursor: &mut Cursor) -> Result<WatermarkStatement, Error> {
    let column = cursor.name("the event-time column")?;
    cursor.expect(&["AS"])?;
    let again = cursor.name("the event-time column")?;
    if again.text != column.text {
        let message = format!(
            "the watermark of '{0}' must be '{0}' or '{0} - INTERVAL …'",
            column.text
        );
        return Err(Error::contradiction(again.at, message));
    }
    let delay_ms = if cursor.takes_token(&Token::Minus) {
        cursor.interval()?
    } else {
        0
    };
    Ok(WatermarkStatement { column, delay_ms })
}

/// `secret('name')`.
fn secret(cursor: &mut Cursor) -> Result<String, Error> {
    cursor.expect(&["SECRET"])?;
    cursor.expect_token(&Token::LParen)?;
    let name = cursor.text("the name of a secret in quotes")?;
    let value = options::secret(&name.text).ok_or_else(|| {
        let message = "the name of a secret has a-z, A-Z, 0-9, '.', '_' and '-'";
        Error::syntax(name.at, message)
    })?;
    cursor.expect_token(&Token::RParen)?;
    Ok(value)
}

fn with_options(cursor: &mut Cursor) -> Result<Vec<OptionStatement>, Error> {
    if !cursor.takes(&["WITH"]) {
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let mut options = Vec::new();
    cursor.expect_token(&Token::LParen)?;
    loop {
        let name = cursor.option_name()?;
        if !seen.insert(name.text.clone()) {
            return Err(Error::contradiction(
                name.at,
                format!("the option '{}' is given twice", name.text),
            ));
        }
        cursor.expect_token(&Token::Eq)?;
        let value = match cursor.rest().first().map(|token| &token.token) {
            Some(Token::Number(..)) => cursor
                .number("a whole number, or a text in quotes")?
                .to_string(),
            _ if cursor.sees(&["SECRET"]) => secret(cursor)?,
            _ => cursor.text("a value in quotes")?.text,
        };
        options.push(OptionStatement { name, value });
        if !cursor.takes_token(&Token::Comma) {
            break;
        }
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(options)
}

fn deduplicate(cursor: &mut Cursor) -> Result<DeduplicateClause, Error> {
    let by = cursor.name("the column that identifies an event")?;
    cursor.expect(&["WITHIN"])?;
    Ok(DeduplicateClause {
        by,
        within_ms: cursor.interval()?,
    })
}

fn table(cursor: &mut Cursor) -> Result<TableStatement, Error> {
    let name = cursor.name("the table's name")?;
    cursor.expect_token(&Token::LParen)?;
    cursor.expect(&["PRIMARY", "KEY"])?;
    let key = cursor.names_in_parentheses("a key column")?;
    cursor.expect_token(&Token::RParen)?;
    cursor.expect(&["FROM"])?;
    let from = cursor.name("the source's name")?;
    let mut table = TableStatement {
        name,
        key,
        from,
        deduplicate: None,
        version: None,
        tombstone_ms: None,
    };
    while !cursor.is_at_end() {
        let at = cursor.at();
        let twice = if cursor.takes(&["DEDUPLICATE", "BY"]) {
            table.deduplicate.replace(deduplicate(cursor)?).is_some()
        } else if cursor.takes(&["VERSION", "BY"]) {
            table
                .version
                .replace(cursor.name("the version column")?)
                .is_some()
        } else if cursor.takes(&["TOMBSTONES", "FOR"]) {
            table.tombstone_ms.replace(cursor.interval()?).is_some()
        } else {
            return Err(cursor.expected(
                "DEDUPLICATE BY, VERSION BY, TOMBSTONES FOR or the end of the statement",
            ));
        };
        refuse_second_clause(twice, at)?;
    }
    Ok(table)
}

fn refuse_second_clause(twice: bool, at: crate::error::Location) -> Result<(), Error> {
    if twice {
        Err(Error::contradiction(at, "this clause is given twice"))
    } else {
        Ok(())
    }
}

fn stream(cursor: &mut Cursor) -> Result<StreamStatement, Error> {
    let name = cursor.name("the stream's name")?;
    cursor.expect(&["FROM"])?;
    let from = cursor.name("the source's name")?;
    let mut stream = StreamStatement {
        name,
        from,
        deduplicate: None,
        resequence: None,
    };
    while !cursor.is_at_end() {
        let at = cursor.at();
        let twice = if cursor.takes(&["DEDUPLICATE", "BY"]) {
            stream.deduplicate.replace(deduplicate(cursor)?).is_some()
        } else if cursor.takes(&["RESEQUENCE", "BY"]) {
            let by = cursor.name("the event-time column")?;
            cursor.expect(&["PER"])?;
            let per = cursor.names("a key column")?;
            cursor.expect(&["WITHIN"])?;
            let within_ms = cursor.interval()?;
            stream
                .resequence
                .replace(ResequenceClause { by, per, within_ms })
                .is_some()
        } else {
            return Err(
                cursor.expected("DEDUPLICATE BY, RESEQUENCE BY or the end of the statement")
            );
        };
        refuse_second_clause(twice, at)?;
    }
    Ok(stream)
}

fn query(cursor: &mut Cursor) -> Result<QueryText, Error> {
    cursor.expect(&["AS"])?;
    let at = cursor.at();
    let end = cursor.end();
    let (tokens, windows) = tumble::extract(cursor)?;
    let words = tokens.iter().filter_map(|token| match &token.token {
        Token::Word(word) => {
            let text = if word.quote_style.is_some() {
                word.value.clone()
            } else {
                word.value.to_lowercase()
            };
            Some(Name {
                text,
                at: location(token),
            })
        }
        _ => None,
    });
    let words = words.collect();
    let mut tree = cursor::parse_query(tokens, end)?;
    parts::prepare(&mut tree);
    Ok(QueryText {
        tree,
        at,
        windows,
        words,
    })
}
