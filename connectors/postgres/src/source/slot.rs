//! The slot that keeps the log for a reader, the publication that says of which table, and what is noted of both in the database itself.
//!
//! The table `tidemill.slots` has a row for each slot: which incarnation of it this is, since a slot that was dropped and made again under its
//! name has lost what was between; where it began; and how far its snapshot is told. What is found is facts; what they come to is a pure
//! function ([`standing`]). Making a slot waits until all transactions that are open have ended, so it is asked for and not waited for.

use tidemill_connectors_api::Error;
use tidemill_types::ErrorKind;
use tokio_postgres::Row;

use crate::error::Failure;
use crate::names::{Qualified, Table as Named, literal, quoted};
use crate::session::Session;

/// The table of what is noted.
pub const SLOTS: &str = "tidemill.slots";

const MAKE_SLOTS: &str = "CREATE SCHEMA IF NOT EXISTS tidemill; \
     CREATE TABLE IF NOT EXISTS tidemill.slots (slot text PRIMARY KEY, incarnation text NOT NULL, relation text NOT NULL, \
     relation_oid bigint NOT NULL, key text[] NOT NULL, began pg_lsn, restart pg_lsn, next_key text[], done boolean NOT NULL, snapshot boolean NOT NULL)";

/// The table that is read, as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub qualified: Qualified,
    pub oid: u32,
    pub columns: Vec<Column>,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// Bytes on the disk for a row, if the server knows how many there are.
    pub bytes_per_row: Option<u64>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
    pub sql_type: String,
}

impl Table {
    /// The columns of the key, in its order.
    pub fn key_columns(&self) -> Vec<&Column> {
        let of = |name: &String| self.columns.iter().find(|column| column.name == *name);
        self.key.iter().filter_map(of).collect()
    }
}

/// The row of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub slot: String,
    pub incarnation: String,
    pub relation: String,
    pub relation_oid: i64,
    pub key: Vec<String>,
    /// Where the slot was when it was made; none until it is.
    pub began: Option<u64>,
    /// The key of the last row that a chunk told of.
    pub next_key: Option<Vec<String>>,
    /// No chunk is to be told any more.
    pub done: bool,
    /// Whether there is a snapshot.
    pub snapshot: bool,
}

/// A slot as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `pgoutput`, of this database.
    pub is_ours: bool,
    /// Before which place of the log all is forgotten.
    pub confirmed: Option<u64>,
    /// The log that it needs is gone.
    pub is_lost: bool,
    /// The process that reads it.
    pub active_pid: Option<i32>,
}

impl Slot {
    /// Whether something was confirmed since it was made.
    pub fn has_advanced(&self, standing: &Standing) -> bool {
        self.confirmed > standing.began
    }
}

/// Whether there is something to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is there, and nothing was read.
    New,
    /// It was to be made, and perhaps is.
    Begun,
    Running,
    /// What was read cannot be gone on with.
    Lost,
    /// Somebody else's slot has the name.
    Foreign,
}

/// What row and slot come to, for a reader that knows an incarnation, or none.
pub fn state(knows: bool, standing: Option<&Standing>, slot: Option<&Slot>) -> State {
    match (standing, slot) {
        (_, Some(slot)) if !slot.is_ours => State::Foreign,
        (Some(Standing { began: None, .. }), _) => State::Begun,
        (Some(_), Some(slot)) if !slot.is_lost => State::Running,
        (None, Some(_)) if !knows => State::Foreign,
        (Some(_), None) | (None, None) if !knows => State::New,
        (Some(_) | None, Some(_) | None) => State::Lost,
    }
}

fn invalid(why: String) -> Failure {
    Failure::Refused(why)
}

/// Refuses a server that cannot send its log to the session's user.
pub fn check_server(session: &Session, user: &str) -> Result<(), Failure> {
    let rows = session.ask(
        "SELECT current_setting('server_version_num')::int4, current_setting('wal_level'), \
         coalesce((SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false), pg_is_in_recovery()",
        &[],
    )?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let (version, wal_level): (i32, String) = (row.get(0), row.get(1));
    if version < 140_000 {
        return Err(invalid(format!(
            "the server's version is {version}, and its changes can be read from 14 on; upgrade it"
        )));
    }
    if row.get::<_, bool>(3) {
        return Err(invalid(
            "the server is a standby, and a snapshot is told through the log of a primary; name the primary in 'url'".to_owned(),
        ));
    }
    if wal_level != "logical" {
        return Err(invalid(format!(
            "the server's wal_level is '{wal_level}', by which its log does not tell rows; run: ALTER SYSTEM SET wal_level = 'logical'; and restart it"
        )));
    }
    if !row.get::<_, bool>(2) {
        let role = quoted(user);
        return Err(invalid(format!(
            "user '{user}' may not read the server's log; run: ALTER ROLE {role} REPLICATION;"
        )));
    }
    Ok(())
}

const RELATION: &str = "SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relreplident::text, \
        has_table_privilege(c.oid, 'SELECT'), \
        array(SELECT a.attname::text FROM pg_catalog.pg_index i, generate_series(0, i.indnkeyatts - 1) k, pg_catalog.pg_attribute a \
          WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = i.indkey[k] ORDER BY k), \
        CASE WHEN c.reltuples > 0 AND c.relkind = 'r' THEN (pg_table_size(c.oid) / c.reltuples)::int8 END \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)";

/// What is sent of a table: what is computed from other columns is not.
const COLUMNS: &str = "SELECT attname::text, atttypid::int8, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
     WHERE attrelid = $1::text::oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum";

/// The table of a name, which has to be such that its changes can be read.
pub fn find_table(session: &Session, named: &Named, user: &str) -> Result<Table, Failure> {
    let name = match &named.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&named.name)),
        None => quoted(&named.name),
    };
    let rows = session.ask(RELATION, &[&name])?;
    let row = rows.first().ok_or_else(|| {
        invalid(format!(
            "there is no table {name}; make it, or name another one by 'table'"
        ))
    })?;
    let oid: i64 = row.get(0);
    let columns = session.ask(COLUMNS, &[&oid.to_string()])?;
    let columns = columns.iter().map(|row| Column {
        name: row.get(0),
        type_oid: low(row.get(1)),
        sql_type: row.get(2),
    });
    let table = Table {
        qualified: Qualified {
            schema: row.get(1),
            name: row.get(2),
        },
        oid: low(oid),
        columns: columns.collect(),
        key: row.get(7),
        bytes_per_row: row.get::<_, Option<i64>>(8).map(i64::unsigned_abs),
    };
    match unfit(row, &table, user) {
        Some(why) => Err(invalid(why)),
        None => Ok(table),
    }
}

/// An object id, of which PostgreSQL has 32 bits.
fn low(oid: i64) -> u32 {
    u32::try_from(oid).unwrap_or_default()
}

fn unfit(row: &Row, table: &Table, user: &str) -> Option<String> {
    let text = |column: usize| row.get::<_, String>(column);
    let name = &table.qualified;
    if text(3) != "r" {
        return Some(format!(
            "{name} is no table of its own, such as a view or a partitioned table; name a table by 'table', of partitions each in a source of its own"
        ));
    }
    if text(4) != "p" {
        return Some(format!(
            "changes of {name} are not in the server's log; run: ALTER TABLE {name} SET LOGGED;"
        ));
    }
    if !row.get::<_, bool>(6) {
        let user = quoted(user);
        return Some(format!(
            "its user may not read {name}; run: GRANT SELECT ON {name} TO {user};"
        ));
    }
    if table.key.is_empty() {
        return Some(format!(
            "{name} has no primary key, by which its rows are known; run: ALTER TABLE {name} ADD PRIMARY KEY (…);"
        ));
    }
    (text(5) != "f").then(|| {
        format!(
            "the server's log does not tell rows of {name} as they were before a change; run: ALTER TABLE {name} REPLICA IDENTITY FULL;"
        )
    })
}

/// Makes the table of what is noted, if it is not there.
pub fn make_notes(session: &Session, user: &str) -> Result<(), Failure> {
    let found = session.ask("SELECT to_regclass('tidemill.slots') IS NOT NULL", &[])?;
    if found.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    session.batch(MAKE_SLOTS).map_err(|failure| match failure.code() {
        Some("42501") => invalid(format!(
            "its user may not make the table in which a reader's slot is noted; run: {MAKE_SLOTS}; {}",
            grants(user)
        )),
        _ => failure,
    })
}

/// Makes the publication of a table, if it is not there; refuses one of another table.
pub fn make_publication(session: &Session, name: &str, table: &Table) -> Result<(), Failure> {
    let rows = session.ask(
        "SELECT p.puballtables, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, \
           array(SELECT r.prrelid::int8 FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid) \
         FROM pg_catalog.pg_publication p WHERE p.pubname = $1",
        &[name],
    )?;
    let (publication, table_name) = (quoted(name), &table.qualified);
    let create = format!("CREATE PUBLICATION {publication} FOR TABLE ONLY {table_name};");
    let Some(row) = rows.first() else {
        return session
            .batch(&create)
            .map_err(|failure| match failure.code() {
                Some("42501") => invalid(format!(
                    "its user may not publish {table_name}; let its owner run: {create}"
                )),
                _ => failure,
            });
    };
    let of: Vec<i64> = row.get(2);
    let is_right = !row.get::<_, bool>(0) && row.get::<_, bool>(1) && of == [i64::from(table.oid)];
    match is_right {
        true => Ok(()),
        false => Err(invalid(format!(
            "publication {publication} is not that of all changes of {table_name} alone; run: DROP PUBLICATION {publication}; {create} or name another one by 'slot'"
        ))),
    }
}

fn grants(user: &str) -> String {
    let user = quoted(user);
    format!(
        "GRANT USAGE ON SCHEMA tidemill TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON {SLOTS} TO {user};"
    )
}

/// What is noted of a slot.
pub fn find_standing(
    session: &Session,
    slot: &str,
    user: &str,
) -> Result<Option<Standing>, Failure> {
    let rows = session.ask(
        "SELECT incarnation, relation, relation_oid, key, (began - '0/0'::pg_lsn)::int8, next_key, done, snapshot \
         FROM tidemill.slots WHERE slot = $1",
        &[slot],
    );
    let rows = rows.map_err(|failure| match failure.code() {
        Some("42501") => invalid(format!(
            "its user may not note how far a snapshot is; run: {}",
            grants(user)
        )),
        _ => failure,
    })?;
    Ok(rows.first().map(|row| Standing {
        slot: slot.to_owned(),
        incarnation: row.get(0),
        relation: row.get(1),
        relation_oid: row.get(2),
        key: row.get(3),
        began: row.get::<_, Option<i64>>(4).map(i64::cast_unsigned),
        next_key: row.get(5),
        done: row.get(6),
        snapshot: row.get(7),
    }))
}

/// The slot of a name.
pub fn find_slot(session: &Session, slot: &str) -> Result<Option<Slot>, Failure> {
    let rows = session.ask(
        "SELECT coalesce(plugin = 'pgoutput' AND database = current_database(), false), \
           (confirmed_flush_lsn - '0/0'::pg_lsn)::int8, coalesce(wal_status = 'lost', false), active_pid \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = $1",
        &[slot],
    )?;
    Ok(rows.first().map(|row| Slot {
        is_ours: row.get(0),
        confirmed: row.get::<_, Option<i64>>(1).map(i64::cast_unsigned),
        is_lost: row.get(2),
        active_pid: row.get(3),
    }))
}

/// Notes a slot that is to be made, in the place of what was noted of one before.
pub fn begin(session: &Session, standing: &Standing) -> Result<(), Failure> {
    let Standing {
        slot,
        incarnation,
        relation,
        ..
    } = standing;
    let key: Vec<_> = standing.key.iter().map(|name| literal(name)).collect();
    let (slot, incarnation, relation) = (literal(slot), literal(incarnation), literal(relation));
    session.batch(&format!(
        "BEGIN; DELETE FROM {SLOTS} WHERE slot = {slot}; \
         INSERT INTO {SLOTS} (slot, incarnation, relation, relation_oid, key, done, snapshot) \
         VALUES ({slot}, {incarnation}, {relation}, {}, ARRAY[{}]::text[], {}, {}); COMMIT",
        standing.relation_oid,
        key.join(", "),
        standing.done,
        standing.snapshot,
    ))
}

/// Notes where a slot began, which is there now; nothing of it was read yet.
pub fn note_begun(session: &Session, standing: &Standing) -> Result<(), Failure> {
    let (slot, incarnation) = (literal(&standing.slot), literal(&standing.incarnation));
    session.batch(&format!(
        "UPDATE {SLOTS} s SET began = r.confirmed_flush_lsn, restart = r.restart_lsn FROM pg_catalog.pg_replication_slots r \
         WHERE s.slot = {slot} AND s.incarnation = {incarnation} AND s.began IS NULL AND r.slot_name = s.slot"
    ))
}

/// That what was read cannot be gone on with, and how to begin anew.
pub fn lost(slot: &str) -> String {
    let name = literal(slot);
    format!(
        "the slot '{slot}' is gone, or the log that it needs, and with it the changes since the job's last checkpoint; what is there can only be read anew: run SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {name}; DELETE FROM {SLOTS} WHERE slot = {name}; and run the job under another name or with an empty state directory"
    )
}

/// That somebody else's slot has the name.
pub fn foreign(slot: &str) -> String {
    format!(
        "the slot '{slot}' is there, and was not made for this; name another one by 'slot', or if nobody needs it run: SELECT pg_drop_replication_slot({});",
        literal(slot)
    )
}

/// Refuses to read another table, or by another key, than what is noted.
pub fn check(standing: &Standing, table: &Table) -> Result<(), Failure> {
    let (slot, name) = (&standing.slot, table.qualified.to_string());
    let anew = "begin anew with another 'slot' and another name of the job";
    if standing.relation != name {
        return Err(invalid(format!(
            "slot '{slot}' has the changes of {}, and 'table' names {name}; name that table, or {anew}",
            standing.relation
        )));
    }
    if standing.relation_oid != i64::from(table.oid) {
        return Err(invalid(format!(
            "{name} was dropped and made again since slot '{slot}' was made; {anew}"
        )));
    }
    if standing.key != table.key {
        return Err(invalid(format!(
            "the primary key of {name} was ({}) when slot '{slot}' was made, and is ({}) now; change it back, or {anew}",
            standing.key.join(", "),
            table.key.join(", ")
        )));
    }
    Ok(())
}

/// That somebody reads it already.
pub fn in_use(whose: &str, slot: &str, pid: Option<i32>) -> Error {
    let by = pid.map_or(String::new(), |pid| {
        format!(" (process {pid} of the server)")
    });
    Error::new(
        ErrorKind::Retry,
        format!(
            "{whose}: slot '{slot}' is in use{by}; if that is a run that was killed, the server notices it within its wal_sender_timeout; else stop the other run, or name another slot"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::{Slot, Standing, State, state};

    #[test]
    fn what_is_lost_is_never_begun_anew_in_silence() {
        let began = Standing {
            slot: "s".to_owned(),
            incarnation: "i".to_owned(),
            relation: "t".to_owned(),
            relation_oid: 1,
            key: vec![],
            began: Some(64),
            next_key: None,
            done: false,
            snapshot: true,
        };
        let begun = Standing {
            began: None,
            ..began.clone()
        };
        let slot = Slot {
            is_ours: true,
            confirmed: Some(64),
            is_lost: false,
            active_pid: None,
        };
        let lost = Slot {
            is_lost: true,
            ..slot.clone()
        };
        let other = Slot {
            is_ours: false,
            ..slot.clone()
        };
        for (knows, standing, found, wanted) in [
            (false, None, None, State::New),
            (true, None, None, State::Lost),
            (false, None, Some(&slot), State::Foreign),
            (true, None, Some(&slot), State::Lost),
            (false, Some(&begun), None, State::Begun),
            (true, Some(&begun), Some(&slot), State::Begun),
            (false, Some(&began), Some(&slot), State::Running),
            (true, Some(&began), Some(&slot), State::Running),
            (false, Some(&began), None, State::New),
            (true, Some(&began), None, State::Lost),
            (false, Some(&began), Some(&lost), State::Lost),
            (true, Some(&began), Some(&lost), State::Lost),
            (true, Some(&began), Some(&other), State::Foreign),
        ] {
            assert_eq!(
                state(knows, standing, found),
                wanted,
                "{knows} {standing:?}"
            );
        }
        assert!(!slot.has_advanced(&began));
        let advanced = Slot {
            confirmed: Some(72),
            ..slot
        };
        assert!(advanced.has_advanced(&began));
    }
}
