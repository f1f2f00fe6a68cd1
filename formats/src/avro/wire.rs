//! The bytes of one Avro record, from the first to the last: numbers, lengths, texts, and the blocks of arrays and maps.
//!
//! Promises: no read goes beyond the record, no length is believed before it was compared with what is left, and all arrays and maps of a
//! record together have no more items than the record has bytes, nor it more values than its size justifies: so no record costs more time or
//! memory than its size.
//!
//! Source: the Avro specification, "Binary encoding".

/// How deep values may lie in each other; deeper ones are refused.
const MAX_DEPTH: usize = 64;
/// How many values may lie in a record for each of its bytes (some take none: nulls, and records of nothing), and beyond that.
const VALUES_PER_BYTE: usize = 2 * MAX_DEPTH;
const VALUES: usize = 1 << 16;
/// How many bytes a number of 64 bits takes at most.
const VARINT_BYTES: usize = 10;

/// Where a record is not of its schema, and why.
#[derive(Debug)]
pub struct Broken {
    /// The byte, from the start of the record.
    at: usize,
    why: String,
    /// The names of the fields that it lies in, the innermost first.
    fields: Vec<String>,
}

/// Boxed, as it is seldom.
pub type Result<T> = std::result::Result<T, Box<Broken>>;

impl Broken {
    /// The same, seen from the record that it lies in.
    #[cold]
    pub fn within(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.fields.push(field.to_owned());
        self
    }

    /// The reason of the dead letter.
    pub fn reason(self) -> String {
        let Self { at, why, fields } = self;
        if fields.is_empty() {
            return format!("invalid Avro at byte {at}: {why}");
        }
        let fields: Vec<_> = fields.into_iter().rev().collect();
        let field = fields.join(".");
        format!("invalid Avro at byte {at}, field '{field}': {why}")
    }
}

/// A record, and how far it was read.
#[derive(Debug)]
pub struct Cursor<'a> {
    record: &'a [u8],
    at: usize,
    depth: usize,
    /// How many items there may still be.
    items: usize,
    /// How many values there may still be.
    values: usize,
}

/// Some items of an array or a map.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// How many there are; at least one.
    pub items: usize,
    /// How many bytes they take, if the writer says so.
    pub bytes: Option<usize>,
}

impl<'a> Cursor<'a> {
    /// A record of which so many bytes stand before its Avro.
    pub const fn new(record: &'a [u8], at: usize) -> Self {
        Self {
            record,
            at,
            depth: 0,
            items: record.len(),
            values: VALUES + VALUES_PER_BYTE * record.len(),
        }
    }

    /// The byte that comes next.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The bytes from one on to the next.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.record[start..self.at]
    }

    /// What is wrong at a byte.
    #[cold]
    pub fn broken(at: usize, why: impl Into<String>) -> Box<Broken> {
        Box::new(Broken {
            at,
            why: why.into(),
            fields: Vec::new(),
        })
    }

    /// Comes to a value.
    #[inline]
    pub fn step(&mut self) -> Result<()> {
        match self.values.checked_sub(1) {
            Some(values) => {
                self.values = values;
                Ok(())
            }
            None => Err(Self::broken(
                self.at,
                "more values than a record of so many bytes has: its schema has records of no bytes in each other",
            )),
        }
    }

    /// Goes into a value that others lie in; `leave` goes out of it.
    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let why = format!("values lie in each other deeper than {MAX_DEPTH}");
            return Err(Self::broken(self.at, why));
        }
        Ok(())
    }

    /// See `enter`.
    pub const fn leave(&mut self) {
        self.depth -= 1;
    }

    /// An error if something is left.
    pub fn end(&self) -> Result<()> {
        match self.record.len() - self.at {
            0 => Ok(()),
            left => Err(Self::broken(
                self.at,
                format!("the record goes on for {left} bytes after its end"),
            )),
        }
    }

    /// So many bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = &self.record[self.at..];
        let taken = rest.get(..length).ok_or_else(|| {
            let why = format!("truncated: expected {length} bytes, found {}", rest.len());
            Self::broken(self.at, why)
        })?;
        self.at += length;
        Ok(taken)
    }

    /// So many bytes, as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("that many bytes were taken"))
    }

    /// A number of up to 64 bits.
    #[inline]
    pub fn long(&mut self) -> Result<i64> {
        match self.record.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(zigzag(u64::from(byte)))
            }
            _ => self.long_of_several(),
        }
    }

    fn long_of_several(&mut self) -> Result<i64> {
        let rest = &self.record[self.at..];
        let mut value = 0;
        for (i, &byte) in rest.iter().take(VARINT_BYTES).enumerate() {
            if i + 1 == VARINT_BYTES && byte > 1 {
                return Err(Self::broken(self.at, "a number of more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(zigzag(value));
            }
        }
        let why = "truncated: the record ends within a number";
        Err(Self::broken(self.at, why))
    }

    /// A number of up to 32 bits.
    #[inline]
    pub fn int(&mut self) -> Result<i64> {
        let start = self.at;
        let value = self.long()?;
        if i32::try_from(value).is_ok() {
            return Ok(value);
        }
        let why = format!("expected a number of 32 bits, found {value}");
        Err(Self::broken(start, why))
    }

    /// A boolean.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool> {
        let start = self.at;
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => {
                let why = format!("expected a boolean, 0 or 1, found {byte}");
                Err(Self::broken(start, why))
            }
        }
    }

    /// One of so many: the branch of a union, or the symbol of an enum.
    #[inline]
    pub fn choice(&mut self, of: usize, what: &str) -> Result<usize> {
        let start = self.at;
        let value = self.long()?;
        match usize::try_from(value) {
            Ok(choice) if choice < of => Ok(choice),
            _ => {
                let why = format!("expected one of {of} {what}, found number {value}");
                Err(Self::broken(start, why))
            }
        }
    }

    /// Bytes that have their length before them.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        let length = self.length()?;
        let taken = self.record[self.at..].get(..length).ok_or_else(|| {
            let left = self.record.len() - self.at;
            let why = format!("a length of {length} bytes, where {left} are left");
            Self::broken(start, why)
        })?;
        self.at += length;
        Ok(taken)
    }

    /// A text.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|error| {
            let at = self.at - bytes.len() + error.valid_up_to();
            Self::broken(at, "invalid UTF-8")
        })
    }

    fn length(&mut self) -> Result<usize> {
        let start = self.at;
        let length = self.long()?;
        usize::try_from(length)
            .map_err(|_| Self::broken(start, format!("a length of {length} bytes")))
    }

    /// The next block of an array or a map; none at its end.
    pub fn block(&mut self) -> Result<Option<Block>> {
        let start = self.at;
        let count = self.long()?;
        let bytes = if count < 0 {
            Some(self.length()?)
        } else {
            None
        };
        let items = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        self.items = self.items.checked_sub(items).ok_or_else(|| {
            let why = format!("a block of {items} items, more than the record has bytes");
            Self::broken(start, why)
        })?;
        Ok((items > 0).then_some(Block { items, bytes }))
    }
}

/// Negative and positive numbers in turns.
const fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
