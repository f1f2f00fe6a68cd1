//! What the server's log says, put together: records of changes at their positions, the snapshot's among them.
//!
//! A plain struct: messages in, a batch out. Promises: from the same place of the log on, the same records at the same positions, whatever
//! was polled when; a record is given once, also if the log is read again from the newest cut ([`Changes::again`]). Does not read or wait.

use tidemill_connectors_api::SourceBatch;
use tidemill_types::RawRecords;

use crate::error::Failure;
use crate::names::quoted;
use crate::source::chunk::{self, Row};
use crate::source::debezium::{Op, Origin, Place, Writer, write_identity};
use crate::source::pgoutput::{self, Begin, Cell, Message, Relation, Tuple};
use crate::source::position::Positions;
use crate::source::unseen::{Changed, Stale};
use crate::source::values::Kind;

/// The table whose changes are read, and by whom.
#[derive(Debug, Clone)]
pub struct Reads {
    pub place: Place,
    /// Its number in the catalog.
    pub oid: u32,
    pub key: Vec<String>,
    /// What the messages of this reader's slot begin with.
    pub prefix: String,
    pub incarnation: String,
}

/// Says how a type is written.
pub type Kinds<'a> = &'a mut dyn FnMut(u32) -> Result<Kind, Failure>;

/// The transaction that is read.
#[derive(Debug, Clone, Copy)]
struct Open {
    begin: Begin,
    /// It was done before this reader began.
    is_done: bool,
    /// It has the last chunk of the snapshot.
    has_last_chunk: bool,
}

/// A chunk of which rows are still to be given.
struct Chunk {
    rows: Vec<u8>,
    at: usize,
    writer: Writer,
    stale: Stale,
    origin: Origin,
}

/// Records as they come.
pub struct Changes {
    reads: Reads,
    positions: Positions,
    /// Where the records are that were given already.
    given: i64,
    /// What was told last: the position, and whether a transaction is open.
    told: (i64, bool),
    open: Option<Open>,
    writer: Option<Writer>,
    /// While the snapshot goes on.
    changed: Option<Changed>,
    /// The position from which on the snapshot is behind; none if it goes on.
    whole_at: Option<i64>,
    chunk: Option<Chunk>,
    /// How many chunks came.
    chunks: u64,
    batch: SourceBatch,
    row: Row,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Changes {
    /// From a cut on. `whole_at` is as the field says.
    pub fn new(reads: Reads, cut: i64, whole_at: Option<i64>) -> Self {
        Self {
            reads,
            positions: Positions::from(cut),
            given: cut,
            told: (cut, false),
            open: None,
            writer: None,
            changed: None,
            whole_at,
            chunk: None,
            chunks: 0,
            batch: SourceBatch::of(0),
            row: Row::default(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Makes ready for the log to be sent again; from which place. Before the snapshot is whole that is the slot's first: what changed since
    /// then has to be known.
    pub fn again(&mut self) -> u64 {
        let cut = self.positions.cut();
        self.given = self.given.max(self.positions.next());
        self.positions = Positions::from(cut);
        self.open = None;
        self.writer = None;
        self.chunk = None;
        self.chunks = 0;
        self.changed = None;
        if self.whole_at.is_some_and(|at| cut >= at) {
            return Positions::log(cut);
        }
        self.whole_at = None;
        self.changed = Some(Changed::default());
        0
    }

    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// True if a confirmed position may be told to the server.
    pub fn may_forget(&self, confirmed: i64) -> bool {
        self.whole_at.is_some_and(|at| confirmed >= at)
    }

    /// How many chunks of the snapshot came.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }

    /// True while rows of a chunk are to be given, before anything else is read.
    pub const fn has_chunk(&self) -> bool {
        self.chunk.is_some()
    }

    /// The memory of what was not taken yet.
    pub const fn held_bytes(&self) -> usize {
        self.batch.records.held_bytes()
    }

    /// What came since the last time, if anything did.
    pub fn take(&mut self) -> Option<SourceBatch> {
        let now = (self.positions.next(), self.positions.is_within());
        let has_records = !self.batch.records.is_empty();
        if !has_records && (now == self.told || now.0 < self.told.0) {
            return None;
        }
        self.told = now;
        let mut batch = std::mem::replace(&mut self.batch, SourceBatch::of(0));
        (batch.next_offset, batch.is_within) = now;
        self.batch.records = RawRecords::of(0);
        Some(batch)
    }

    /// The server has sent all before a place of its log.
    pub fn reach_log(&mut self, log: u64) {
        if self.open.is_none() {
            self.positions.reach_log(log);
        }
    }

    /// Takes a message about a place of the log.
    pub fn message(&mut self, log: u64, payload: &[u8], kinds: Kinds<'_>) -> Result<(), Failure> {
        let message = pgoutput::parse(payload).map_err(|wrong| {
            Failure::Refused(format!(
                "{wrong}; use a server whose version is tested: docs/connectors/postgres.md"
            ))
        })?;
        match message {
            Message::Begin(begin) => {
                self.open = Some(Open {
                    is_done: !self.positions.begin(begin.commit),
                    has_last_chunk: false,
                    begin,
                });
            }
            Message::Commit => self.commit(),
            Message::Relation(relation) if relation.id == self.reads.oid => {
                self.writer = Some(self.writer_of(&relation, kinds)?);
            }
            Message::Insert { relation, new } if relation == self.reads.oid => {
                self.row_change(log, Op::Create, None, Some(new));
            }
            Message::Update { relation, old, new } if relation == self.reads.oid => {
                self.row_change(log, Op::Update, old, Some(new));
            }
            Message::Delete { relation, old } if relation == self.reads.oid => {
                self.row_change(log, Op::Delete, Some(old), None);
            }
            Message::Truncate { relations } if relations.contains(&self.reads.oid) => {
                self.truncate(log);
            }
            Message::Logical {
                transactional: true,
                prefix,
                content,
            } if prefix == self.reads.prefix.as_bytes() => self.logical(content, kinds)?,
            Message::Relation(_)
            | Message::Insert { .. }
            | Message::Update { .. }
            | Message::Delete { .. }
            | Message::Truncate { .. }
            | Message::Logical { .. }
            | Message::Other => {}
        }
        Ok(())
    }

    fn commit(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        if !open.is_done {
            self.positions.commit();
        }
        if open.has_last_chunk {
            self.whole_at = Some(match open.is_done {
                true => self.positions.cut(),
                false => self.positions.next(),
            });
            self.changed = None;
        }
    }

    fn key_of(&self, columns: &[(String, Kind)]) -> Result<Vec<usize>, Failure> {
        let position = |name: &String| {
            let found = columns.iter().position(|(column, _)| column == name);
            found.ok_or_else(|| {
                Failure::Refused(format!(
                    "column {} of the key is not in the rows any more; put it back, or begin anew under another 'slot'",
                    quoted(name)
                ))
            })
        };
        self.reads.key.iter().map(position).collect()
    }

    fn writer_of(&self, relation: &Relation, kinds: Kinds<'_>) -> Result<Writer, Failure> {
        let mut columns = Vec::new();
        for column in &relation.columns {
            columns.push((column.name.clone(), kinds(column.type_oid)?));
        }
        if relation.identity != b'f' {
            tracing::warn!(
                table = %self.reads.place.table,
                "changes do not tell the whole row as it was; set the table's REPLICA IDENTITY to FULL"
            );
        }
        let key = self.key_of(&columns)?;
        Ok(Writer::new(&self.reads.place, &columns, key))
    }

    /// What happened to a row.
    fn row_change(&mut self, log: u64, op: Op, old: Option<Tuple<'_>>, new: Option<Tuple<'_>>) {
        let (Some(open), Some(writer)) = (self.open, self.writer.take()) else {
            return;
        };
        let old: Option<Vec<Cell<'_>>> = old.map(|old| old.cells().collect());
        let mut new: Option<Vec<Cell<'_>>> = new.map(|new| new.cells().collect());
        if let (Some(old), Some(new)) = (&old, &mut new) {
            // A large value that did not change stands in the old row.
            for (new, old) in new.iter_mut().zip(old) {
                if *new == Cell::Unchanged {
                    *new = *old;
                }
            }
        }
        let key = writer.key_columns();
        for row in [&old, &new].into_iter().flatten() {
            if let Some(changed) = &mut self.changed {
                self.key.clear();
                write_identity(row, key, &mut self.key);
                changed.note(open.begin.xid, &self.key);
            }
        }
        if !open.is_done {
            let origin = origin(open.begin, log);
            let is_other = |old: &[Cell<'_>], new: &[Cell<'_>]| {
                key.iter().any(|&column| old.get(column) != new.get(column))
            };
            match (old.as_deref(), new.as_deref()) {
                (Some(old), Some(new)) if is_other(old, new) => {
                    self.push(&writer, Op::Delete, [Some(old), None], origin);
                    self.push(&writer, Op::Create, [None, Some(new)], origin);
                }
                states => self.push(&writer, op, states.into(), origin),
            }
        }
        self.writer = Some(writer);
    }

    fn truncate(&mut self, log: u64) {
        let Some(open) = self.open else {
            return;
        };
        if let Some(changed) = &mut self.changed {
            changed.note_all(open.begin.xid);
        }
        if !open.is_done {
            let writer = Writer::new(&self.reads.place, &[], Vec::new());
            self.push(&writer, Op::Truncate, [None, None], origin(open.begin, log));
        }
    }

    /// A message of this reader's own: a chunk of the snapshot, or nothing, so that the log goes on.
    fn logical(&mut self, content: &[u8], kinds: Kinds<'_>) -> Result<(), Failure> {
        let (Some(open), Some((header, rows))) = (&mut self.open, chunk::parse(content)) else {
            return Ok(());
        };
        let (Some(changed), Some(sees)) = (&mut self.changed, header.sees()) else {
            return Ok(());
        };
        if header.incarnation != self.reads.incarnation {
            return Ok(());
        }
        self.chunks += 1;
        open.has_last_chunk |= header.done;
        let stale = changed.unseen(&sees);
        changed.forget(&sees);
        if open.is_done {
            return Ok(());
        }
        let origin = origin(open.begin, header.log);
        let mut columns = Vec::new();
        for (name, oid) in header.columns {
            columns.push((name, kinds(oid)?));
        }
        let key = self.key_of(&columns)?;
        self.chunk = Some(Chunk {
            rows: rows.to_vec(),
            at: 0,
            writer: Writer::new(&self.reads.place, &columns, key),
            stale,
            origin,
        });
        Ok(())
    }

    /// Gives rows of the chunk, until so much is held.
    pub fn give_chunk(&mut self, bytes_max: usize) -> Result<(), Failure> {
        let Some(mut chunk) = self.chunk.take() else {
            return Ok(());
        };
        let mut row = std::mem::take(&mut self.row);
        while chunk.at < chunk.rows.len() && self.held_bytes() < bytes_max {
            let read = row.read(&chunk.rows[chunk.at..]);
            let length = read.ok_or_else(|| {
                Failure::Refused("a chunk of the snapshot cannot be read; use a server whose version is tested: docs/connectors/postgres.md".to_owned())
            })?;
            chunk.at += length;
            let cells: Vec<Cell<'_>> = row
                .values()
                .map(|value| value.map_or(Cell::Null, Cell::Text))
                .collect();
            self.key.clear();
            write_identity(&cells, chunk.writer.key_columns(), &mut self.key);
            if !chunk.stale.has(&self.key) {
                self.push(&chunk.writer, Op::Read, [None, Some(&cells)], chunk.origin);
            }
        }
        self.row = row;
        if chunk.at < chunk.rows.len() {
            self.chunk = Some(chunk);
        }
        Ok(())
    }

    /// Gives a record, unless it was given before.
    fn push(&mut self, writer: &Writer, op: Op, states: [Option<&[Cell<'_>]>; 2], origin: Origin) {
        let position = self.positions.row();
        if position < self.given {
            return;
        }
        self.key.clear();
        self.value.clear();
        let of_key = states[1].or(states[0]);
        if let Some(row) = of_key {
            writer.write_key(row, &mut self.key);
        }
        writer.write(op, states, origin, &mut self.value);
        let key = of_key.map(|_| self.key.as_slice());
        // Without a time of its own: which of two changes is the newer one, their positions say. Commits take their times before their places.
        let records = &mut self.batch.records;
        records.push(position, key, Some(&self.value));
    }
}

const fn origin(begin: Begin, log: u64) -> Origin {
    Origin {
        xid: begin.xid,
        log,
        time_ms: begin.time_ms,
    }
}
