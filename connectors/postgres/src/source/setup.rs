//! What a reader needs in the database: looked at, and made where it is missing; and from which positions it may begin.
//!
//! Does not read the log. The slot is asked for, and not waited for longer than the caller says.

use std::time::Duration;

use tidemill_connectors_api::Error;
use tracing::info;
use uuid::Uuid;

use crate::error::Failure;
use crate::names::literal;
use crate::options::SourceOptions;
use crate::source::chunk::Chunks;
use crate::source::position::Positions;
use crate::source::replication::Wire;
use crate::source::slot::{self, Standing, State, Table};
use crate::source::{Found, Link, PostgresSource};

impl PostgresSource {
    /// Looks at server, table, publication and slot, and makes what is missing but the slot.
    pub(super) fn look(&mut self, knows: bool) -> Result<(State, Found), Failure> {
        let SourceOptions {
            server,
            table,
            slot,
            snapshot,
        } = &self.options;
        let (user, name) = (&server.user, literal(&format!("tidemill:{slot}")));
        self.catalog.with(|session| {
            slot::check_server(session, user)?;
            let table = slot::find_table(session, table, user)?;
            slot::make_notes(session, user)?;
            // Of all who begin with a slot only one does at a time.
            session.ask(
                &format!("SELECT pg_advisory_lock(hashtext({name}))::text"),
                &[],
            )?;
            let noted = slot::find_standing(session, slot, user)?;
            let there = slot::find_slot(session, slot)?;
            let state = slot::state(knows, noted.as_ref(), there.as_ref());
            let standing = match (noted, &state) {
                (Some(standing), State::Begun | State::Running) => {
                    slot::check(&standing, &table)?;
                    standing
                }
                _ => new_standing(slot, &table, *snapshot),
            };
            if !matches!(state, State::Foreign | State::Lost) {
                slot::make_publication(session, slot, &table)?;
            }
            if state == State::New {
                slot::begin(session, &standing)?;
            }
            session.ask(&format!("SELECT pg_advisory_unlock(hashtext({name}))"), &[])?;
            let found = Found {
                chunks: Chunks::of(table.bytes_per_row),
                table,
                standing,
                told_at: None,
            };
            Ok((state, found))
        })
    }

    /// Makes the slot if it is not there; waits so long. False if it is not there yet.
    pub(super) fn make_slot(&mut self, wait: Duration) -> Result<bool, Error> {
        if self.found()?.standing.began.is_some() {
            return Ok(true);
        }
        let name = self.options.slot.clone();
        let action = "make its slot";
        if let Link::None = self.link {
            let there = self.catalog.with(|session| slot::find_slot(session, &name));
            match there.map_err(|failure| self.failed(failure, action))? {
                Some(there) if there.confirmed.is_some() => return self.note_slot(),
                Some(there) => return Err(slot::in_use(&self.whose, &name, there.active_pid)),
                None => {}
            }
            let asked = Wire::connect(&self.options.server).and_then(|mut wire| {
                wire.command(&format!(
                    "CREATE_REPLICATION_SLOT \"{name}\" LOGICAL pgoutput NOEXPORT_SNAPSHOT"
                ))?;
                Ok(wire)
            });
            self.link = Link::Making(asked.map_err(|failure| self.failed(failure, action))?);
        }
        let Link::Making(wire) = &mut self.link else {
            return Ok(false);
        };
        match wire.is_answered(wait) {
            Ok(false) => Ok(false),
            Ok(true) => {
                self.link = Link::None;
                self.note_slot()
            }
            Err(failure) => {
                self.link = Link::None;
                if failure.code() == Some("42710") {
                    return Err(slot::in_use(&self.whose, &name, None));
                }
                Err(self.failed(failure, action))
            }
        }
    }

    /// Notes that the slot is there.
    fn note_slot(&mut self) -> Result<bool, Error> {
        let standing = self.found()?.standing.clone();
        let user = self.options.server.user.clone();
        let noted = self.catalog.with(|session| {
            slot::note_begun(session, &standing)?;
            slot::find_standing(session, &standing.slot, &user)
        });
        let noted = noted.map_err(|failure| self.failed(failure, "note its slot"))?;
        let noted = noted.filter(|noted| noted.incarnation == standing.incarnation);
        let noted = noted.ok_or_else(|| self.lost())?;
        let is_there = noted.began.is_some();
        if let Some(found) = &mut self.found {
            found.standing = noted;
        }
        if is_there {
            info!(slot = self.options.slot, "made a replication slot");
            // What is there now comes before what changes, rather than behind it once more.
            self.tell_chunk(None)?;
        }
        Ok(is_there)
    }

    /// Where a position may be opened; else why not.
    pub(super) fn admit(&mut self, position: Option<i64>) -> Result<(i64, bool), Error> {
        let standing = self.found()?.standing.clone();
        let name = standing.slot.clone();
        let there = self.catalog.with(|session| slot::find_slot(session, &name));
        let there = there.map_err(|failure| self.failed(failure, "look at its slot"))?;
        if there.is_none() && standing.began.is_some() {
            return Err(self.lost());
        }
        let advanced =
            there.filter(|slot| standing.began.is_some() && slot.has_advanced(&standing));
        let confirmed = advanced.as_ref().and_then(|slot| slot.confirmed);
        match (position, confirmed) {
            (None, None) => Ok((0, false)),
            (Some(position), _) if !Positions::is_cut(position) => Err(self.invalid(format!(
                "position {position} is none of a table's changes; run the job under another name, or restore a checkpoint of it"
            ))),
            (Some(position), Some(confirmed)) if Positions::log(position) >= confirmed => {
                Ok((position, true))
            }
            (Some(position), None) => Ok((position, false)),
            (position, Some(_)) => {
                let from = position.map_or_else(|| "the first".to_owned(), |at| format!("position {at}"));
                Err(self.invalid(format!(
                    "slot '{name}' has given back the changes from {from} on, which a checkpoint had confirmed; restore the newest checkpoint; or else {}",
                    slot::lost(&name)
                )))
            }
        }
    }
}

fn new_standing(slot: &str, table: &Table, snapshot: bool) -> Standing {
    Standing {
        slot: slot.to_owned(),
        incarnation: Uuid::new_v4().to_string(),
        relation: table.qualified.to_string(),
        relation_oid: i64::from(table.oid),
        key: table.key.clone(),
        began: None,
        next_key: None,
        done: !snapshot,
        snapshot,
    }
}
