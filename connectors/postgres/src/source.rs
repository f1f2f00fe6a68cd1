//! The source: the changes of a table, by the server's log, and what the table has before them, by chunks that go through the log as well.
//!
//! Promises: what [`Source`] does. A slot keeps the log for it; until the snapshot is whole nothing of it is given back, so that a restart
//! can look through what was changed meanwhile. No lock is held on the table. A connection that broke is made again once within a poll, and
//! goes on exactly where it stopped. Does not wait for transactions that are open, though the server does when it makes the slot: until
//! then, polls bring nothing.

mod catalog;
mod changes;
mod chunk;
mod debezium;
mod pgoutput;
mod position;
mod replication;
mod setup;
mod slot;
mod unseen;
mod values;

use std::thread;
use std::time::{Duration, Instant};

use tidemill_connectors_api::{Described, Error, Source, SourceBatch, SourceSpec};
use tidemill_types::ErrorKind;
use tracing::info;

use crate::error::Failure;
use crate::options::SourceOptions;
use crate::session::GRACE;
use crate::source::catalog::Catalog;
use crate::source::changes::{Changes, Reads};
use crate::source::chunk::{Chunks, Written, prefix};
use crate::source::debezium::Place;
use crate::source::position::Positions;
use crate::source::replication::{Sent, Wire};
use crate::source::slot::{Standing, State, Table};

/// How often the server hears of this reader, while it is polled. It ends connections that are silent for its wal_sender_timeout, a minute.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is asked where its log ends, while nothing comes.
const END_INTERVAL: Duration = Duration::from_millis(500);
/// How long more is waited for, when something came.
const LINGER: Duration = Duration::from_millis(1);
/// How long a slot is waited for when it is described; mostly that is enough.
const SLOT_WAIT: Duration = Duration::from_secs(1);
/// How often a bounded run says how far the snapshot is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// The most that is written into the log at once so that it goes on.
const PUSH_BYTES_MAX: u64 = 1 << 20;

/// The connection on which the log comes.
enum Link {
    None,
    /// The server makes the slot.
    Making(Wire),
    Reading(Wire),
}

/// What is known once the source was described.
struct Found {
    table: Table,
    standing: Standing,
    chunks: Chunks,
    /// How many chunks had come when one was told last.
    told_at: Option<u64>,
}

/// When something was done last.
#[derive(Default)]
struct Times {
    status: Option<Instant>,
    end: Option<Instant>,
    push: Option<Instant>,
    /// When the server was asked to answer, and it has not.
    question: Option<Instant>,
}

fn is_due(at: Option<Instant>, interval: Duration) -> bool {
    at.is_none_or(|at| at.elapsed() >= interval)
}

/// Reads the changes of a table.
pub struct PostgresSource {
    whose: String,
    topic: String,
    options: SourceOptions,
    catalog: Catalog,
    found: Option<Found>,
    link: Link,
    changes: Option<Changes>,
    confirmed: i64,
    /// Where the log ended, asked for after all that was read.
    end: Option<i64>,
    times: Times,
    is_paused: bool,
}

impl PostgresSource {
    /// Reads the options of a source. Does not connect yet.
    pub fn new(spec: &SourceSpec<'_>) -> Result<Self, Error> {
        let options = SourceOptions::parse(spec.job, spec.name, spec.options)?;
        Ok(Self {
            whose: format!("source '{}'", spec.name),
            topic: spec.options.get("table").cloned().unwrap_or_default(),
            catalog: Catalog::new(options.server.clone()),
            options,
            found: None,
            link: Link::None,
            changes: None,
            confirmed: 0,
            end: None,
            times: Times::default(),
            is_paused: false,
        })
    }

    fn failed(&self, failure: Failure, action: &str) -> Error {
        failure.into_error(&self.whose, action)
    }

    fn invalid(&self, why: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Invalid, format!("{}: {why}", self.whose))
    }

    fn lost(&self) -> Error {
        self.invalid(slot::lost(&self.options.slot))
    }

    fn found(&self) -> Result<&Found, Error> {
        self.found.as_ref().ok_or_else(|| {
            let message = format!("{} was not described; report this", self.whose);
            Error::new(ErrorKind::Bug, message)
        })
    }

    /// Tells the next chunk of the snapshot, if the one before has come.
    fn tell_chunk(&mut self, come: Option<u64>) -> Result<(), Error> {
        let Some(found) = &mut self.found else {
            return Ok(());
        };
        if found.standing.done || (come.is_some() && found.told_at == come) {
            return Ok(());
        }
        let options = &self.options;
        let user = &options.server.user;
        let told = self.catalog.with(|session| {
            let table = slot::find_table(session, &options.table, user)?;
            slot::check(&found.standing, &table)?;
            found.table = table;
            let told = found
                .chunks
                .write(session, &found.table, &mut found.standing)?;
            let noted = match told {
                Written::NotThisOne => Some(slot::find_standing(session, &options.slot, user)?),
                Written::Told(_) | Written::TooMuch => None,
            };
            Ok((told, noted))
        });
        match told {
            Ok((Written::Told(_), _)) => found.told_at = come,
            Ok((_, Some(Some(noted)))) if noted.incarnation == found.standing.incarnation => {
                found.standing = noted;
            }
            Ok((_, Some(_))) => return Err(self.lost()),
            Ok((_, None)) => {}
            Err(failure) => {
                // Whether it was told stands in the database.
                let noted = self.catalog.with(|session| {
                    slot::find_standing(session, &self.options.slot, &self.options.server.user)
                });
                if let (Ok(Some(noted)), Some(found)) = (noted, &mut self.found) {
                    found.standing = noted;
                }
                return Err(self.failed(failure, "read its snapshot"));
            }
        }
        Ok(())
    }

    /// Connects to the log, if it is not connected, at where the reading stopped.
    fn connect(&mut self) -> Result<(), Error> {
        if let (Link::None, Some(changes)) = (&self.link, &mut self.changes) {
            let name = &self.options.slot;
            let log = changes.again();
            let begun = Wire::connect(&self.options.server).and_then(|mut wire| {
                wire.start(name, name, log)?;
                Ok(wire)
            });
            self.link = Link::Reading(begun.map_err(|failure| self.unbegun(failure))?);
            self.times = Times::default();
            self.end = None;
            if let Some(found) = &mut self.found {
                found.told_at = None;
            }
        }
        Ok(())
    }

    /// Why the log could not be begun.
    fn unbegun(&mut self, failure: Failure) -> Error {
        let name = &self.options.slot;
        match failure.code() {
            Some("55006") => {
                let there = self.catalog.with(|session| slot::find_slot(session, name));
                let pid = there.ok().flatten().and_then(|slot| slot.active_pid);
                slot::in_use(&self.whose, name, pid)
            }
            Some("42704" | "55000" | "58P01") => self.lost(),
            _ => self.failed(failure, "read the server's log"),
        }
    }

    /// Why the log does not go on.
    fn broken(&self, failure: Failure) -> Error {
        match failure.code() {
            Some("42704") => self.invalid(format!(
                "the publication \"{0}\" was dropped, or made after changes that are still to be read ({1}); {2}",
                self.options.slot,
                match &failure {
                    Failure::Server(error) => error.words.as_str(),
                    _ => "it is not there",
                },
                slot::lost(&self.options.slot)
            )),
            Some("55000" | "58P01") => self.lost(),
            _ => self.failed(failure, "read the server's log"),
        }
    }

    fn flushed(&self) -> u64 {
        let may = self
            .changes
            .as_ref()
            .is_some_and(|changes| changes.may_forget(self.confirmed));
        if may {
            Positions::log(self.confirmed)
        } else {
            0
        }
    }

    fn send_status(&mut self, asks: bool) -> Result<(), Failure> {
        let flushed = self.flushed();
        if let Link::Reading(wire) = &mut self.link {
            wire.status(flushed, asks)?;
            self.times.status = Some(Instant::now());
            if asks && self.times.question.is_none() {
                self.times.question = self.times.status;
            }
        }
        Ok(())
    }

    fn read(&mut self, wait: Duration, bytes_max: usize) -> Result<(), Error> {
        let deadline = Instant::now() + wait;
        if !self.make_slot(wait)? {
            return Ok(());
        }
        self.connect()?;
        if is_due(self.times.status, STATUS_INTERVAL) {
            let sent = self.send_status(false);
            sent.map_err(|failure| self.broken(failure))?;
        }
        self.tell_chunk(self.changes.as_ref().map(Changes::chunks))?;
        let received = self.receive(deadline, bytes_max);
        match received.map_err(|failure| self.broken(failure))? {
            Received::Something => Ok(()),
            Received::Nothing => self.when_idle(),
        }
    }

    fn receive(&mut self, deadline: Instant, bytes_max: usize) -> Result<Received, Failure> {
        let (Link::Reading(wire), Some(changes)) = (&mut self.link, &mut self.changes) else {
            return Ok(Received::Nothing);
        };
        let catalog = &mut self.catalog;
        let mut kinds = |oid| catalog.kind(oid);
        let mut received = Received::Nothing;
        let mut is_asked = false;
        while changes.held_bytes() < bytes_max {
            if changes.has_chunk() {
                changes.give_chunk(bytes_max)?;
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if changes.held_bytes() == 0 {
                left
            } else {
                LINGER
            };
            match wire.next(wait)? {
                None => break,
                Some(Sent::Data { log, payload }) => changes.message(log, payload, &mut kinds)?,
                Some(Sent::Keepalive { end, is_question }) => {
                    changes.reach_log(end);
                    is_asked |= is_question;
                    if !wire.has_more() {
                        break;
                    }
                }
            }
            received = Received::Something;
            self.times.question = None;
            if left.is_zero() && !wire.has_more() {
                break;
            }
        }
        if changes.held_bytes() > 0 {
            received = Received::Something;
        }
        if is_asked {
            self.times.question = None;
            self.send_status(false)?;
        }
        Ok(received)
    }

    /// Nothing came: asks where the log ends, and whether the server is there; makes the log go on where positions are ahead of it.
    fn when_idle(&mut self) -> Result<(), Error> {
        let within = self.options.server.timeout + GRACE;
        if self.times.question.is_some_and(|at| at.elapsed() > within) {
            self.times.question = None;
            return Err(self.broken(Failure::Late(within)));
        }
        let Some(positions) = self.changes.as_ref().map(Changes::positions) else {
            return Ok(());
        };
        let (next, has_drifted) = (positions.next(), positions.has_drifted());
        if has_drifted && is_due(self.times.push, END_INTERVAL) {
            self.push_log(next)?;
        }
        if is_due(self.times.end, END_INTERVAL) {
            if self.end.is_none() {
                let asked = self.catalog.number(
                    "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8",
                    &[],
                );
                let end = asked.map_err(|failure| self.failed(failure, "ask for the log's end"))?;
                self.end = end.map(|end| Positions::cut_of(end.cast_unsigned()));
            }
            self.times.end = Some(Instant::now());
            if self.end.is_some_and(|end| next < end) {
                let sent = self.send_status(true);
                sent.map_err(|failure| self.broken(failure))?;
            }
        }
        Ok(())
    }

    /// Writes into the log, so that it comes to where positions are.
    fn push_log(&mut self, next: i64) -> Result<(), Error> {
        self.times.push = Some(Instant::now());
        let prefix = prefix(&self.options.slot);
        let pushed = self.catalog.number(
            "SELECT (pg_logical_emit_message(true, $1, repeat('-', \
               least(greatest($2::text::int8 - (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8, 0), $3::text::int8)::int4)) - '0/0'::pg_lsn)::int8",
            &[
                &prefix,
                &(Positions::log(next) + 64).to_string(),
                &PUSH_BYTES_MAX.to_string(),
            ],
        );
        pushed
            .map(drop)
            .map_err(|failure| self.failed(failure, "write into the log"))
    }

    fn take(&mut self, out: &mut Vec<SourceBatch>) {
        if let Some(batch) = self.changes.as_mut().and_then(Changes::take) {
            if !batch.records.is_empty() {
                self.end = None;
            }
            out.push(batch);
        }
    }
}

/// Whether anything came.
enum Received {
    Nothing,
    Something,
}

impl Source for PostgresSource {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn describe(&mut self, before: &str) -> Result<Described, Error> {
        self.link = Link::None;
        let (state, found) = self
            .look(!before.is_empty())
            .map_err(|failure| self.failed(failure, "look at what it reads"))?;
        match state {
            State::Foreign => return Err(self.invalid(slot::foreign(&self.options.slot))),
            State::Lost => return Err(self.lost()),
            State::New | State::Begun | State::Running => {}
        }
        let incarnation = format!("{} {}", found.standing.slot, found.standing.incarnation);
        self.found = Some(found);
        self.make_slot(SLOT_WAIT)?;
        Ok(Described {
            goes_on: before.is_empty() || before == incarnation,
            incarnation,
            partitions: vec![0],
        })
    }

    fn end_offsets(&mut self) -> Result<Vec<(u32, i64)>, Error> {
        if !self.make_slot(self.options.server.timeout)? {
            let message = format!(
                "{}: the server makes slot '{}' when all transactions that are open have ended, and one goes on; it is tried again; see who has one: SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL;",
                self.whose, self.options.slot
            );
            return Err(Error::new(ErrorKind::Retry, message));
        }
        let mut said = Instant::now();
        while !self.found()?.standing.done {
            self.tell_chunk(None)?;
            if said.elapsed() >= PROGRESS_INTERVAL {
                said = Instant::now();
                let key = &self.found()?.standing.next_key;
                info!(source = self.whose, ?key, "the snapshot goes into the log");
            }
        }
        // The transaction of this message is read after all that was committed before.
        let end = self.catalog.number(
            "SELECT (pg_logical_emit_message(true, $1, '') - '0/0'::pg_lsn)::int8",
            &[&prefix(&self.options.slot)],
        );
        let end = end.map_err(|failure| self.failed(failure, "ask for the log's end"))?;
        let end = end.unwrap_or_default().cast_unsigned();
        Ok(vec![(0, Positions::cut_of(end))])
    }

    fn known_ends(&mut self) -> Vec<(u32, i64)> {
        let Some(end) = self.end else {
            return Vec::new();
        };
        let next = self.changes.as_ref().map(|of| of.positions().next());
        if next.is_some_and(|next| next >= end) {
            self.end = None;
        }
        vec![(0, end)]
    }

    fn open(&mut self, positions: &[(u32, Option<i64>)]) -> Result<Vec<(u32, i64)>, Error> {
        let &[(0, position)] = positions else {
            return Err(
                self.invalid("a table is one partition, number 0; run the job under another name")
            );
        };
        let (cut, has_advanced) = self.admit(position)?;
        let found = self.found()?;
        let (table, standing) = (&found.table, &found.standing);
        let reads = Reads {
            place: Place {
                database: self.options.server.database.clone(),
                schema: table.qualified.schema.clone(),
                table: table.qualified.name.clone(),
            },
            oid: table.oid,
            key: table.key.clone(),
            prefix: prefix(&standing.slot),
            incarnation: standing.incarnation.clone(),
        };
        let whole_at = (has_advanced || !standing.snapshot).then_some(0);
        self.changes = Some(Changes::new(reads, cut, whole_at));
        self.confirmed = 0;
        if let Link::Reading(_) = self.link {
            self.link = Link::None;
        }
        Ok(vec![(0, cut)])
    }

    fn poll(
        &mut self,
        max_wait: Duration,
        max_bytes: usize,
        out: &mut Vec<SourceBatch>,
    ) -> Result<(), Error> {
        if self.is_paused {
            if is_due(self.times.status, STATUS_INTERVAL) && self.send_status(false).is_err() {
                self.link = Link::None;
            }
            thread::sleep(max_wait);
            return Ok(());
        }
        let was_reading = matches!(self.link, Link::Reading(_));
        let mut read = self.read(max_wait, max_bytes);
        self.take(out);
        let Err(error) = &read else {
            return read;
        };
        let is_once = was_reading && error.kind() == ErrorKind::Retry;
        self.link = Link::None;
        if is_once {
            read = self.read(max_wait, max_bytes);
            self.take(out);
            if read.is_err() {
                self.link = Link::None;
            }
        }
        read
    }

    fn has_transactions(&self) -> bool {
        true
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), Error> {
        self.is_paused |= partitions.contains(&0);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.is_paused = false;
        Ok(())
    }

    fn confirm(&mut self, positions: &[(u32, i64)]) -> Result<(), Error> {
        for &(_, position) in positions {
            self.confirmed = self.confirmed.max(position);
        }
        if self.send_status(false).is_err() {
            self.link = Link::None;
        }
        Ok(())
    }
}
