//! Reads the tokens of one statement, with errors that say where.

use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::{Parser, ParserError};
use datafusion_sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::{Name, duration};
use crate::error::{Error, Location};

/// The dialect that queries are read in.
pub const DIALECT: GenericDialect = GenericDialect {};

/// A position in the tokens of one statement.
#[derive(Debug)]
pub struct Cursor {
    tokens: Vec<TokenWithSpan>,
    next: usize,
    end: Location,
}

/// Cuts the text into statements, without their semicolons, comments and blanks.
pub fn statements(sql: &str) -> Result<Vec<Cursor>, Error> {
    let tokens = Tokenizer::new(&DIALECT, sql)
        .tokenize_with_location()
        .map_err(|error| {
            let at = Location {
                line: error.location.line,
                column: error.location.column,
            };
            Error::syntax(at, lower_first(&error.message))
        })?;
    let mut statements = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        match token.token {
            Token::Whitespace(_) => {}
            Token::SemiColon => statements.extend(Cursor::new(std::mem::take(&mut current))),
            _ => current.push(token),
        }
    }
    statements.extend(Cursor::new(current));
    Ok(statements)
}

/// Errors begin in lower case.
pub fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// Where a token begins.
pub fn location(token: &TokenWithSpan) -> Location {
    Location {
        line: token.span.start.line,
        column: token.span.start.column,
    }
}

impl Cursor {
    fn new(tokens: Vec<TokenWithSpan>) -> Option<Self> {
        let end = tokens.last()?.span.end;
        Some(Self {
            tokens,
            next: 0,
            end: Location {
                line: end.line,
                column: end.column,
            },
        })
    }

    /// Where the next token begins; after the last one, where that ends.
    pub fn at(&self) -> Location {
        self.tokens.get(self.next).map_or(self.end, location)
    }

    /// The tokens that are left.
    pub fn rest(&self) -> &[TokenWithSpan] {
        &self.tokens[self.next..]
    }

    /// Steps over one token.
    pub fn skip(&mut self) {
        self.next = self.tokens.len().min(self.next + 1);
    }

    /// True after the last token.
    pub fn is_at_end(&self) -> bool {
        self.next == self.tokens.len()
    }

    /// An error at the next token, which is not what was expected.
    pub fn expected(&self, what: &str) -> Error {
        let found = self.tokens.get(self.next).map_or_else(
            || "the end of the statement".to_owned(),
            |token| format!("'{}'", token.token.to_string().trim_matches('\'')),
        );
        Error::syntax(self.at(), format!("expected {what}, found {found}"))
    }

    /// True if the next tokens are these words, in any case.
    pub fn sees(&self, words: &[&str]) -> bool {
        self.rest().len() >= words.len()
            && words
                .iter()
                .zip(self.rest())
                .all(|(word, token)| match &token.token {
                    Token::Word(found) => {
                        found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
                    }
                    _ => false,
                })
    }

    /// Steps over these words if they are next.
    pub fn takes(&mut self, words: &[&str]) -> bool {
        let sees = self.sees(words);
        if sees {
            self.next += words.len();
        }
        sees
    }

    /// Steps over these words.
    pub fn expect(&mut self, words: &[&str]) -> Result<(), Error> {
        if self.takes(words) {
            Ok(())
        } else {
            Err(self.expected(&words.join(" ")))
        }
    }

    /// Steps over this token if it is next.
    pub fn takes_token(&mut self, token: &Token) -> bool {
        let sees = self.rest().first().is_some_and(|next| next.token == *token);
        self.next += usize::from(sees);
        sees
    }

    /// Steps over this token.
    pub fn expect_token(&mut self, token: &Token) -> Result<(), Error> {
        if self.takes_token(token) {
            Ok(())
        } else {
            Err(self.expected(&format!("'{token}'")))
        }
    }

    /// Steps over `>`, also over the first one of the `>>` that two are to the tokenizer.
    pub fn expect_closing_angle(&mut self) -> Result<(), Error> {
        match self.tokens.get_mut(self.next) {
            Some(token) if token.token == Token::ShiftRight => {
                token.token = Token::Gt;
                token.span.start.column += 1;
                Ok(())
            }
            _ => self.expect_token(&Token::Gt),
        }
    }

    /// A name, in lower case unless quoted.
    pub fn name(&mut self, what: &str) -> Result<Name, Error> {
        let at = self.at();
        let Some(Token::Word(word)) = self.rest().first().map(|token| &token.token) else {
            return Err(self.expected(what));
        };
        let text = if word.quote_style.is_some() {
            word.value.clone()
        } else {
            word.value.to_lowercase()
        };
        self.next += 1;
        Ok(Name { text, at })
    }

    /// Names between parentheses.
    pub fn names_in_parentheses(&mut self, what: &str) -> Result<Vec<Name>, Error> {
        self.expect_token(&Token::LParen)?;
        let names = self.names(what)?;
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    /// One name or several with commas between.
    pub fn names(&mut self, what: &str) -> Result<Vec<Name>, Error> {
        let mut names = vec![self.name(what)?];
        while self.takes_token(&Token::Comma) {
            names.push(self.name(what)?);
        }
        Ok(names)
    }

    /// A text in single quotes.
    pub fn text(&mut self, what: &str) -> Result<Name, Error> {
        let at = self.at();
        let Some(Token::SingleQuotedString(text)) = self.rest().first().map(|token| &token.token)
        else {
            return Err(self.expected(what));
        };
        let text = text.clone();
        self.next += 1;
        Ok(Name { text, at })
    }

    /// A whole number.
    pub fn number(&mut self, what: &str) -> Result<i64, Error> {
        let Some(Token::Number(digits, _)) = self.rest().first().map(|token| &token.token) else {
            return Err(self.expected(what));
        };
        let number = digits.parse().map_err(|_| self.expected(what))?;
        self.next += 1;
        Ok(number)
    }

    /// `INTERVAL '5' SECOND` or `INTERVAL '5 seconds'`, in milliseconds.
    pub fn interval(&mut self) -> Result<i64, Error> {
        self.expect(&["INTERVAL"])?;
        let number = self.text("a length of time in quotes, such as INTERVAL '5' SECOND")?;
        if let Some(ms) = duration::milliseconds(&number.text, None) {
            return Ok(ms);
        }
        let unit = self.name("a unit of time, such as SECOND")?;
        duration::milliseconds(&number.text, Some(&unit.text)).ok_or_else(|| {
            let found = format!("INTERVAL '{}' {}", number.text, unit.text.to_uppercase());
            Error::syntax(
                number.at,
                format!(
                    "{found} is no length of time; expected {}",
                    duration::EXPECTED
                ),
            )
        })
    }

    /// The name of an option: words, dots and dashes without blanks in mind, or a text in quotes.
    pub fn option_name(&mut self) -> Result<Name, Error> {
        if let Some(Token::SingleQuotedString(_)) = self.rest().first().map(|token| &token.token) {
            return self.text("the name of an option");
        }
        let mut name = self.name("the name of an option")?;
        loop {
            let separator = if self.takes_token(&Token::Period) {
                '.'
            } else if self.takes_token(&Token::Minus) {
                '-'
            } else {
                return Ok(name);
            };
            name.text.push(separator);
            name.text
                .push_str(&self.name("the rest of the option's name")?.text);
        }
    }

    /// Fails unless every token was read.
    pub fn expect_end(&self, what: &str) -> Result<(), Error> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.expected(what))
        }
    }

    /// Where the statement ends.
    pub const fn end(&self) -> Location {
        self.end
    }
}

/// Parses the tokens of a query.
pub fn parse_query(
    tokens: Vec<TokenWithSpan>,
    end: Location,
) -> Result<Box<datafusion_sql::sqlparser::ast::Query>, Error> {
    let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
    let query = parser.parse_query().map_err(|error| syntax(&error, end))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(query);
    }
    Err(Error::syntax(
        location(&next),
        format!("expected the end of the query, found '{}'", next.token),
    ))
}

/// The parser tells the place only in its text.
fn syntax(error: &ParserError, end: Location) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            message.as_str()
        }
        ParserError::RecursionLimitExceeded => "the query is nested too deeply",
    };
    let place = message
        .rsplit_once(" at Line: ")
        .and_then(|(message, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some((
                message,
                Location {
                    line: line.parse().ok()?,
                    column: column.trim().parse().ok()?,
                },
            ))
        });
    let (message, at) = place.unwrap_or((message, end));
    let message = message
        .replace("Expected: ", "expected ")
        .replace("found: EOF", "found: the end of the statement");
    Error::syntax(at, lower_first(&message.replace("found: ", "found ")))
}
