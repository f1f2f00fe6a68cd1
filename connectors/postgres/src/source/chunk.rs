//! A part of the snapshot, which goes through the server's log.
//!
//! One statement reads the next rows in the order of the key, writes them into the log as one message, and notes how far they go. So a chunk is
//! read again as it was, by whoever reads the log again; and it says itself what its statement saw ([`Sees`]). No lock is held on the table
//! beyond the statement. A message is a line of JSON, and behind it the rows as PostgreSQL writes records: `(1,"a ""b""",)`.
//!
//! Does not look at what is stale in it: [`unseen`](crate::source::unseen) does.

use std::fmt::Write;

use serde::Deserialize;

use crate::error::Failure;
use crate::names::{literal, quoted};
use crate::session::Session;
use crate::source::slot::{SLOTS, Standing, Table};
use crate::source::unseen::Sees;

/// About how many bytes a message of the log has.
const MESSAGE_BYTES: u64 = 3 << 20;
/// A chunk has fewer rows than a transaction has positions before they drift.
pub const ROWS_MAX: u64 = 50_000;

/// What stands before the rows.
#[derive(Debug, Clone, Deserialize)]
pub struct Header {
    pub incarnation: String,
    /// Their names and types.
    pub columns: Vec<(String, u32)>,
    snapshot: String,
    /// Nothing comes behind it.
    pub done: bool,
    /// A place of the log before all changes that are read.
    pub log: u64,
}

impl Header {
    /// What the statement saw.
    pub fn sees(&self) -> Option<Sees> {
        Sees::parse(&self.snapshot)
    }
}

/// Takes a message apart: its header, and its rows.
pub fn parse(content: &[u8]) -> Option<(Header, &[u8])> {
    let end = memchr::memchr(b'\n', content)?;
    let header = serde_json::from_slice(&content[..end]).ok()?;
    Some((header, &content[end + 1..]))
}

/// A row of a message: its values, none for null, in a buffer that is used again.
#[derive(Debug, Default)]
pub struct Row {
    bytes: Vec<u8>,
    /// Where values end in the buffer.
    ends: Vec<Option<usize>>,
}

impl Row {
    /// Reads a row; how many bytes it has. None if it is none.
    pub fn read(&mut self, text: &[u8]) -> Option<usize> {
        self.bytes.clear();
        self.ends.clear();
        let mut at = 1;
        if text.first() != Some(&b'(') {
            return None;
        }
        loop {
            let start = at;
            at = self.value(text, at)?;
            self.ends.push((at > start).then_some(self.bytes.len()));
            at += 1;
            if text[at - 1] == b')' {
                return Some(at);
            }
        }
    }

    /// Reads a value; where the comma or the bracket behind it is.
    fn value(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let rest = text.get(at..)?;
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b')' | b'"'))?;
            self.bytes.extend_from_slice(&rest[..plain]);
            at += plain;
            if text[at] != b'"' {
                return Some(at);
            }
            at = self.quoted(text, at + 1)?;
        }
    }

    /// Reads up to the quote that ends it; what is behind that.
    fn quoted(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let rest = text.get(at..)?;
            let plain = memchr::memchr2(b'"', b'\\', rest)?;
            self.bytes.extend_from_slice(&rest[..plain]);
            at += plain;
            let next = text.get(at + 1);
            if text[at] == b'"' && next != Some(&b'"') {
                return Some(at + 1);
            }
            self.bytes.push(*next?);
            at += 2;
        }
    }

    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = (*end)?;
            let value = &self.bytes[start..end];
            start = end;
            Some(value)
        })
    }
}

/// Who writes chunks: how many rows the next one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    rows: u64,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// So many rows of it.
    Told(u64),
    /// There was no place for so many rows: the next one has fewer.
    TooMuch,
    /// Somebody else wrote it meanwhile, or this session did and did not hear of it.
    NotThisOne,
}

impl Chunks {
    /// By what a row takes on the disk, as far as that is known.
    pub fn of(bytes_per_row: Option<u64>) -> Self {
        let rows = bytes_per_row.map_or(500, |bytes| MESSAGE_BYTES / bytes.max(1));
        Self {
            rows: rows.clamp(1, ROWS_MAX),
        }
    }

    /// Writes the next chunk into the log, and notes in `standing` how far it goes.
    pub fn write(
        &mut self,
        session: &Session,
        table: &Table,
        standing: &mut Standing,
    ) -> Result<Written, Failure> {
        let asked = session.ask(&statement(table, standing, self.rows), &[]);
        let rows = match asked {
            Ok(rows) => rows,
            // More than one message, or the server's memory, has place for.
            Err(failure) if is_too_much(&failure) && self.rows > 1 => {
                self.rows = (self.rows / 10).max(1);
                return Ok(Written::TooMuch);
            }
            Err(failure) => return Err(failure),
        };
        let Some(row) = rows.first() else {
            return Ok(Written::NotThisOne);
        };
        let (count, bytes) = (row.get::<_, i64>(0), row.get::<_, i64>(1));
        standing.next_key = row.get(2);
        standing.done = row.get(3);
        let (count, bytes) = (count.unsigned_abs(), bytes.unsigned_abs());
        let fitting = MESSAGE_BYTES * count.max(1) / bytes.max(1);
        self.rows = fitting.min(4 * self.rows).clamp(1, ROWS_MAX);
        Ok(Written::Told(count))
    }
}

fn is_too_much(failure: &Failure) -> bool {
    matches!(failure.code(), Some("54000" | "53200" | "57014"))
}

/// The statement that writes a chunk: reading, telling and noting are of one snapshot.
fn statement(table: &Table, standing: &Standing, rows: u64) -> String {
    let key = table.key_columns();
    let names = |columns: &[&str]| {
        let quoted: Vec<_> = columns.iter().map(|name| quoted(name)).collect();
        quoted.join(", ")
    };
    let by = names(
        &key.iter()
            .map(|column| column.name.as_str())
            .collect::<Vec<_>>(),
    );
    let all: Vec<_> = table.columns.iter().map(|of| of.name.as_str()).collect();
    let mut after = String::new();
    let mut before = "NULL".to_owned();
    if let Some(last) = &standing.next_key {
        let values = key.iter().zip(last);
        let values: Vec<_> = values
            .map(|(column, value)| format!("{}::{}", literal(value), column.sql_type))
            .collect();
        let texts: Vec<_> = last.iter().map(|value| literal(value)).collect();
        after = format!(" WHERE ({by}) > ({})", values.join(", "));
        before = format!("ARRAY[{}]::text[]", texts.join(", "));
    }
    let (mut keys, mut last) = (String::new(), Vec::new());
    for (at, column) in key.iter().enumerate() {
        let written = write!(keys, "{} AS k{at}, ", quoted(&column.name));
        written.expect("a text takes everything");
        last.push(format!("k{at}::text"));
    }
    let last = last.join(", ");
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| (&column.name, column.type_oid))
        .collect();
    let columns = literal(&serde_json::json!(columns).to_string());
    let prefix = literal(&prefix(&standing.slot));
    format!(
        "WITH chunk AS MATERIALIZED (SELECT {keys}ROW({})::text AS r, row_number() OVER (ORDER BY {by}) AS n \
           FROM ONLY {}{after} ORDER BY {by} LIMIT {rows}), \
         body AS MATERIALIZED (SELECT coalesce(string_agg(r, ''), '') AS rows, count(*) AS count FROM chunk) \
         UPDATE {SLOTS} s SET done = body.count < {rows}, \
           next_key = coalesce((SELECT ARRAY[{last}] FROM chunk ORDER BY n DESC LIMIT 1), s.next_key) \
         FROM body WHERE s.slot = {} AND s.incarnation = {} AND NOT s.done AND s.next_key IS NOT DISTINCT FROM {before} \
         RETURNING body.count, octet_length(body.rows)::bigint, s.next_key, s.done, \
           pg_logical_emit_message(true, {prefix}, json_build_object('incarnation', s.incarnation, 'columns', {columns}::json, \
             'snapshot', pg_current_snapshot()::text, 'done', s.done, 'log', (s.restart - '0/0'::pg_lsn)::bigint)::text || chr(10) || body.rows)::text",
        names(&all),
        table.qualified,
        literal(&standing.slot),
        literal(&standing.incarnation),
    )
}

/// What messages of a slot begin with.
pub fn prefix(slot: &str) -> String {
    format!("tidemill:{slot}")
}

#[cfg(test)]
mod tests {
    use super::{Row, parse};

    fn row(text: &str) -> Option<(Vec<Option<String>>, usize)> {
        let mut row = Row::default();
        let length = row.read(text.as_bytes())?;
        let text = |value: Option<&[u8]>| value.map(|of| String::from_utf8(of.to_vec()).unwrap());
        Some((row.values().map(text).collect(), length))
    }

    #[test]
    fn a_row_is_read_as_postgresql_writes_it() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            row("(1,\"a,\"\"b\\\\)\n\",,\"\")(2)"),
            Some((vec![some("1"), some("a,\"b\\)\n"), None, some("")], 19))
        );
        assert_eq!(row("()"), Some((vec![None], 2)));
        for wrong in ["", "1", "(", "(1", "(\"a", "(\"a\\", "(\"a\"\"", "(a\")"] {
            assert_eq!(row(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_message_has_its_header_in_the_first_line() {
        let content = b"{\"incarnation\":\"i\",\"columns\":[[\"id\",20]],\"snapshot\":\"1:2:\",\"done\":false,\"log\":7}\n(1)(2)";
        let (header, rows) = parse(content).unwrap();
        assert_eq!(header.columns, [("id".to_owned(), 20)]);
        assert_eq!((header.log, rows), (7, &b"(1)(2)"[..]));
        assert!(header.sees().is_some());
        assert!(parse(b"{}\n").is_none() && parse(b"").is_none());
    }
}
