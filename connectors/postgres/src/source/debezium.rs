//! A change as Debezium tells it: `docs/formats/debezium.md`.
//!
//! Written straight into bytes: a row is never a tree. Promises: a record is whole JSON; a value that the log left out and that nobody has
//! is an object that no column's type takes, so that who reads that column gets a dead letter and no wrong value.

use std::io::Write;

use crate::names::json;
use crate::source::pgoutput::Cell;
use crate::source::values::{Kind, write_text};

/// What stands for a value that is not known.
const UNAVAILABLE: &[u8] = br#"{"unavailable":"toast"}"#;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create,
    Update,
    Delete,
    /// It was there when the snapshot was taken.
    Read,
    Truncate,
}

/// When and by which transaction a change was made.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub xid: u32,
    pub log: u64,
    pub time_ms: i64,
}

/// How the rows of a table are written.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Of each column its name as a member: `"name":`.
    members: Vec<Vec<u8>>,
    kinds: Vec<Kind>,
    /// Which columns are the key, in its order.
    key: Vec<usize>,
    /// `"source":{` and what is the same in all records.
    source: Vec<u8>,
}

/// The table that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub database: String,
    pub schema: String,
    pub table: String,
}

impl Writer {
    /// Of a table with columns, of which some are the key.
    pub fn new(place: &Place, columns: &[(String, Kind)], key: Vec<usize>) -> Self {
        let member = |(name, _): &(String, Kind)| format!("{}:", json(name)).into_bytes();
        let source = format!(
            r#""source":{{"connector":"postgresql","db":{},"schema":{},"table":{}"#,
            json(&place.database),
            json(&place.schema),
            json(&place.table)
        );
        Self {
            members: columns.iter().map(member).collect(),
            kinds: columns.iter().map(|(_, kind)| kind.clone()).collect(),
            key,
            source: source.into_bytes(),
        }
    }

    /// Which columns are the key.
    pub fn key_columns(&self) -> &[usize] {
        &self.key
    }

    fn write_member(&self, column: usize, cell: Cell<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.members[column]);
        match cell {
            Cell::Null => out.extend_from_slice(b"null"),
            Cell::Unchanged => out.extend_from_slice(UNAVAILABLE),
            Cell::Text(text) => self.kinds[column].write(text, out),
        }
    }

    /// Appends the key of a row, an object.
    pub fn write_key(&self, row: &[Cell<'_>], out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, &column) in self.key.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.write_member(column, row[column], out);
        }
        out.push(b'}');
    }

    fn write_row(&self, row: Option<&[Cell<'_>]>, out: &mut Vec<u8>) {
        let Some(row) = row else {
            out.extend_from_slice(b"null");
            return;
        };
        out.push(b'{');
        for (column, &cell) in row.iter().enumerate().take(self.members.len()) {
            if column > 0 {
                out.push(b',');
            }
            self.write_member(column, cell, out);
        }
        out.push(b'}');
    }

    /// Appends a change.
    pub fn write(
        &self,
        op: Op,
        [before, after]: [Option<&[Cell<'_>]>; 2],
        origin: Origin,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"{\"before\":");
        self.write_row(before, out);
        out.extend_from_slice(b",\"after\":");
        self.write_row(after, out);
        out.push(b',');
        out.extend_from_slice(&self.source);
        let (op, snapshot) = match op {
            Op::Create => ('c', false),
            Op::Update => ('u', false),
            Op::Delete => ('d', false),
            Op::Read => ('r', true),
            Op::Truncate => ('t', false),
        };
        let Origin { xid, log, time_ms } = origin;
        let written = write!(
            out,
            ",\"txId\":{xid},\"lsn\":{log},\"ts_ms\":{time_ms},\"snapshot\":\"{snapshot}\"}},\"op\":\"{op}\",\"ts_ms\":{time_ms}}}"
        );
        written.expect("a buffer takes everything");
    }
}

/// Appends a row's key such that two are the same bytes if they are the same key.
pub fn write_identity(row: &[Cell<'_>], columns: &[usize], out: &mut Vec<u8>) {
    for &column in columns {
        match row.get(column) {
            Some(Cell::Text(text)) => write_text(text, out),
            Some(Cell::Null | Cell::Unchanged) | None => out.push(b'-'),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::Type;

    use super::{Op, Origin, Place, Writer, write_identity};
    use crate::source::pgoutput::Cell;
    use crate::source::values::Kind;

    fn writer() -> Writer {
        let place = Place {
            database: "d".to_owned(),
            schema: "public".to_owned(),
            table: "t \"x\"".to_owned(),
        };
        let columns = [
            ("id".to_owned(), Kind::of(Type::INT8.oid()).unwrap()),
            ("a \"b\"".to_owned(), Kind::Text),
        ];
        Writer::new(&place, &columns, vec![0])
    }

    #[test]
    fn a_change_is_what_debezium_writes() {
        let mut out = Vec::new();
        let (old, new) = (
            [Cell::Text(b"1"), Cell::Null],
            [Cell::Text(b"1"), Cell::Unchanged],
        );
        let origin = Origin {
            xid: 7,
            log: 64,
            time_ms: 5,
        };
        writer().write(Op::Update, [Some(&old), Some(&new)], origin, &mut out);
        let wanted = r#"{"before":{"id":1,"a \"b\"":null},"after":{"id":1,"a \"b\"":{"unavailable":"toast"}},"source":{"connector":"postgresql","db":"d","schema":"public","table":"t \"x\"","txId":7,"lsn":64,"ts_ms":5,"snapshot":"false"},"op":"u","ts_ms":5}"#;
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
        let mut key = Vec::new();
        writer().write_key(&new, &mut key);
        assert_eq!(key, br#"{"id":1}"#);
        let mut read = Vec::new();
        writer().write(Op::Read, [None, Some(&old)], origin, &mut read);
        let read = String::from_utf8(read).unwrap();
        assert!(read.contains(r#""snapshot":"true"},"op":"r""#), "{read}");
    }

    #[test]
    fn keys_that_differ_are_other_bytes() {
        let of = |cells: &[Cell<'_>]| {
            let mut out = Vec::new();
            write_identity(cells, &[0, 1], &mut out);
            out
        };
        let keys = [
            of(&[Cell::Text(b"a\"\"b"), Cell::Text(b"c")]),
            of(&[Cell::Text(b"a"), Cell::Text(b"b\"\"c")]),
            of(&[Cell::Text(b"a"), Cell::Text(b"bc")]),
            of(&[Cell::Text(b"-"), Cell::Null]),
            of(&[Cell::Null, Cell::Text(b"-")]),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key));
        }
    }
}
