//! The messages of the output plugin `pgoutput`, version 1 of its protocol (PostgreSQL's manual, "Logical Replication Message Formats").
//!
//! Promises: no bytes make it panic; what it does not know is an error that says at which message. Nothing is copied but the columns' names.

use std::fmt;

/// What the server says of its log.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transaction, whole from here to its commit.
    Begin(Begin),
    Commit,
    /// What the rows of a table look like from here on.
    Relation(Relation),
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        /// The row as it was: whole, or only its key.
        old: Option<Tuple<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: Tuple<'a>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// What somebody wrote into the log by `pg_logical_emit_message`.
    Logical {
        transactional: bool,
        prefix: &'a [u8],
        content: &'a [u8],
    },
    /// Types and origins, which nobody needs here.
    Other,
}

/// How a transaction begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record begins.
    pub commit: u64,
    /// When it was committed, in milliseconds since 1970.
    pub time_ms: i64,
    pub xid: u32,
}

/// A table as its rows are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub id: u32,
    pub schema: String,
    pub name: String,
    /// `f` is all columns.
    pub identity: u8,
    pub columns: Vec<Column>,
}

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
}

/// The values of a row, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: usize,
    /// Only the key's columns are told, the others are null whatever they were.
    is_key: bool,
    bytes: &'a [u8],
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    /// A large value that an update did not touch, and that the log has not.
    Unchanged,
    /// In PostgreSQL's text form.
    Text(&'a [u8]),
}

/// Bytes that are no message of the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// The message's first byte.
    pub tag: u8,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a message '{}' of the server's log cannot be read",
            self.tag.escape_ascii()
        )
    }
}

/// Between PostgreSQL's epoch, the year 2000, and 1970.
const EPOCH_MS: i64 = 946_684_800_000;

/// Reads a message.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let tag = bytes.first().copied().unwrap_or(0);
    let mut rest = Bytes(bytes.get(1..).unwrap_or_default());
    message(tag, &mut rest).ok_or(Malformed { tag })
}

fn message<'a>(tag: u8, bytes: &mut Bytes<'a>) -> Option<Message<'a>> {
    Some(match tag {
        b'B' => Message::Begin(Begin {
            commit: bytes.u64()?,
            time_ms: bytes.u64()?.cast_signed().div_euclid(1_000) + EPOCH_MS,
            xid: bytes.u32()?,
        }),
        b'C' => Message::Commit,
        b'R' => Message::Relation(relation(bytes)?),
        b'I' => Message::Insert {
            relation: bytes.u32()?,
            new: {
                (bytes.u8()? == b'N').then_some(())?;
                bytes.tuple(false)?
            },
        },
        b'U' => update(bytes)?,
        b'D' => Message::Delete {
            relation: bytes.u32()?,
            old: {
                let kind = bytes.u8()?;
                matches!(kind, b'K' | b'O').then_some(())?;
                bytes.tuple(kind == b'K')?
            },
        },
        b'T' => {
            let count = bytes.u32()?;
            bytes.u8()?;
            let relations = (0..count).map_while(|_| bytes.u32()).collect::<Vec<_>>();
            (relations.len() == count as usize).then_some(())?;
            Message::Truncate { relations }
        }
        b'M' => {
            let transactional = bytes.u8()? & 1 == 1;
            bytes.u64()?;
            let prefix = bytes.text()?;
            let length = bytes.u32()? as usize;
            let content = bytes.take(length)?;
            Message::Logical {
                transactional,
                prefix,
                content,
            }
        }
        b'Y' | b'O' => Message::Other,
        _ => return None,
    })
}

fn update<'a>(bytes: &mut Bytes<'a>) -> Option<Message<'a>> {
    let relation = bytes.u32()?;
    let mut kind = bytes.u8()?;
    let mut old = None;
    if matches!(kind, b'K' | b'O') {
        old = Some(bytes.tuple(kind == b'K')?);
        kind = bytes.u8()?;
    }
    (kind == b'N').then_some(())?;
    let new = bytes.tuple(false)?;
    Some(Message::Update { relation, old, new })
}

fn relation(bytes: &mut Bytes<'_>) -> Option<Relation> {
    let id = bytes.u32()?;
    let schema = bytes.string()?;
    let name = bytes.string()?;
    let identity = bytes.u8()?;
    let count = bytes.u16()?;
    let mut columns = Vec::new();
    for _ in 0..count {
        bytes.u8()?;
        let name = bytes.string()?;
        let type_oid = bytes.u32()?;
        bytes.u32()?;
        columns.push(Column { name, type_oid });
    }
    Some(Relation {
        id,
        // Said so of what is in `pg_catalog`.
        schema: if schema.is_empty() {
            "pg_catalog".to_owned()
        } else {
            schema
        },
        name,
        identity,
        columns,
    })
}

impl<'a> Tuple<'a> {
    /// The values, in order; those that were not told are [`Cell::Unchanged`].
    pub fn cells(self) -> impl Iterator<Item = Cell<'a>> {
        let mut bytes = Bytes(self.bytes);
        (0..self.columns).map_while(move |_| match bytes.cell()? {
            Cell::Null if self.is_key => Some(Cell::Unchanged),
            cell => Some(cell),
        })
    }
}

/// Bytes that are still to be read.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text that ends in a zero.
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    fn cell(&mut self) -> Option<Cell<'a>> {
        Some(match self.u8()? {
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            b't' => {
                let length = self.u32()? as usize;
                Cell::Text(self.take(length)?)
            }
            _ => return None,
        })
    }

    /// A row, all of whose values are there.
    fn tuple(&mut self, is_key: bool) -> Option<Tuple<'a>> {
        let columns = usize::from(self.u16()?);
        let start = self.0;
        for _ in 0..columns {
            self.cell()?;
        }
        let bytes = &start[..start.len() - self.0.len()];
        Some(Tuple {
            columns,
            is_key,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Begin, Cell, Malformed, Message, parse};

    fn bytes(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn what_is_said_is_read() {
        let begin = bytes(&[
            b"B",
            &64_u64.to_be_bytes(),
            &1_500_u64.to_be_bytes(),
            &7_u32.to_be_bytes(),
        ]);
        let wanted = Begin {
            commit: 64,
            time_ms: 946_684_800_001,
            xid: 7,
        };
        assert_eq!(parse(&begin), Ok(Message::Begin(wanted)));
        let update = bytes(&[b"U\0\0\0\x05O\0\x02n", b"t\0\0\0\x01x", b"N\0\x01u"]);
        let Ok(Message::Update {
            relation: 5,
            old: Some(old),
            new,
        }) = parse(&update)
        else {
            panic!("it is no update");
        };
        assert_eq!(
            old.cells().collect::<Vec<_>>(),
            [Cell::Null, Cell::Text(b"x")]
        );
        assert_eq!(new.cells().collect::<Vec<_>>(), [Cell::Unchanged]);
        let said = bytes(&[b"M\x01", &9_u64.to_be_bytes(), b"p\0\0\0\0\x02hi"]);
        assert_eq!(
            parse(&said),
            Ok(Message::Logical {
                transactional: true,
                prefix: b"p",
                content: b"hi"
            })
        );
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole: [&[u8]; 6] = [
            b"B\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\0\0\0\x01",
            b"R\0\0\0\x01s\0t\0f\0\x01\x01id\0\0\0\0\x14\xff\xff\xff\xff",
            b"I\0\0\0\x01N\0\x02nt\0\0\0\x02hi",
            b"D\0\0\0\x01O\0\x01t\0\0\0\x02hi",
            b"T\0\0\0\x01\0\0\0\0\x01",
            b"M\x01\0\0\0\0\0\0\0\x40p\0\0\0\0\x01x",
        ];
        for message in whole {
            assert!(parse(message).is_ok(), "{}", message.escape_ascii());
            for end in 1..message.len() {
                let tag = message[0];
                assert_eq!(parse(&message[..end]), Err(Malformed { tag }));
                let mut wrong = message.to_vec();
                wrong[end] = 0xff;
                let _ = parse(&wrong);
            }
        }
        assert_eq!(parse(b""), Err(Malformed { tag: 0 }));
        assert_eq!(parse(b"x"), Err(Malformed { tag: b'x' }));
    }
}
