//! Names of PostgreSQL, as a user writes them and as SQL has them: any characters, none of them code.

use std::fmt;

use serde_json::Value;

/// PostgreSQL cuts longer names off: two of them could become one.
pub const NAME_BYTES_MAX: usize = 63;

/// A name within SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text within SQL.
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        return format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// A text within JSON.
pub fn json(text: &str) -> String {
    Value::from(text).to_string()
}

/// True if PostgreSQL can have a thing of that name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains('\0')
}

/// A table as the option names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// None is where the session makes tables.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
}

impl Table {
    /// Reads `name` or `schema.name`; a part in double quotes may have a '.' in it, and a '"' that is written twice. None if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, rest) = part(text)?;
        let (schema, name) = match rest.strip_prefix('.') {
            Some(second) => {
                let (second, rest) = part(second)?;
                rest.is_empty().then_some((Some(first), second))?
            }
            None => rest.is_empty().then_some((None, first))?,
        };
        let named = is_name(&name) && schema.as_deref().is_none_or(is_name);
        named.then_some(Self { schema, name })
    }
}

/// The first part of a name, and what is behind it.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.contains('"')).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    let mut rest = inner;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

/// A table in its schema, as SQL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qualified {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Qualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, literal, quoted};

    fn parsed(text: &str) -> Option<(Option<String>, String)> {
        Table::parse(text).map(|table| (table.schema, table.name))
    }

    #[test]
    fn a_table_may_have_any_characters() {
        let of =
            |schema: Option<&str>, name: &str| Some((schema.map(str::to_owned), name.to_owned()));
        assert_eq!(parsed("totals"), of(None, "totals"));
        assert_eq!(parsed("Finance.Totals"), of(Some("Finance"), "Totals"));
        assert_eq!(parsed("\"a.b\".c d"), of(Some("a.b"), "c d"));
        assert_eq!(parsed("\"a\"\"b\""), of(None, "a\"b"));
        assert_eq!(parsed("x'; DROP TABLE y"), of(None, "x'; DROP TABLE y"));
        let long = "ü".repeat(32);
        for wrong in [
            "", ".", "a.", ".b", "a.b.c", "a\"b", "\"a", "\"a\"b", "a\0", &long,
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_stands_in_sql_stays_within_its_quotes() {
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }
}
