//! The delivery: rows and progress in one transaction, under the lock of the progress.

use tidemill_connectors_api::{Delivery, DeliverySpec, Error, Parcel, Rejected};
use tidemill_types::format::Contents;
use tidemill_types::{Epoch, ErrorKind};
use tokio_postgres::Statement;
use tracing::info;
use uuid::Uuid;

use crate::columns::{Column, columns};
use crate::error::Failure;
use crate::names::{Qualified, literal, quoted};
use crate::options::SinkOptions;
use crate::progress::Progress;
use crate::records::{Doer, Doing, Record, deliver};
use crate::session::Session;
use crate::statements::{Statements, around_key};
use crate::table;

/// Of all who make tables only one does at a time: `CREATE TABLE IF NOT EXISTS` by two at once fails for one of them.
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtext('tidemill_deliveries'))";

/// Brings the records of one sink to its table.
pub struct PostgresDelivery {
    job: String,
    sink: String,
    options: SinkOptions,
    columns: Vec<Column>,
    key: Vec<String>,
    contents: Contents,
    /// What is open; nothing before `open`, and after an error.
    open: Option<Open>,
}

/// What a delivery has between `open` and the next error.
struct Open {
    session: Session,
    progress: Progress,
    owner: String,
    put: Statement,
    delete: Option<Statement>,
    around_key: [String; 2],
}

impl PostgresDelivery {
    /// Reads the options of a sink. Does not connect yet.
    pub fn new(spec: &DeliverySpec<'_>) -> Result<Self, Error> {
        let invalid = |why: String| {
            let message = format!("sink '{}': {why}", spec.name);
            Error::new(ErrorKind::Invalid, message)
        };
        match (spec.contents, spec.key) {
            (Contents::Changes, _) => {
                return Err(invalid(
                    "a table holds rows or states, and the sink's envelope writes changes; use envelope = 'plain' or 'upsert'".to_owned(),
                ));
            }
            (Contents::States, []) => {
                return Err(invalid(
                    "states are kept by their key, and the sink has none; add key = '…' to its WITH".to_owned(),
                ));
            }
            (Contents::States | Contents::Rows, _) => {}
        }
        let key = match spec.contents {
            Contents::States => spec.key.to_vec(),
            // Rows of one key are rows all the same.
            Contents::Rows | Contents::Changes => Vec::new(),
        };
        Ok(Self {
            job: spec.job.to_owned(),
            sink: spec.name.to_owned(),
            options: SinkOptions::parse(spec.name, spec.options)?,
            columns: columns(spec.schema).map_err(invalid)?,
            key,
            contents: spec.contents,
            open: None,
        })
    }

    fn failed(&self, failure: Failure, action: &str) -> Error {
        failure.into_error(&format!("sink '{}'", self.sink), action)
    }

    fn invalid(&self, why: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("sink '{}': {why}", self.sink))
    }

    /// The table with its schema, which has to be there.
    fn target(&self, session: &Session) -> Result<Qualified, Error> {
        let asked = match &self.options.table.schema {
            None => session.ask("SELECT current_schema()::text", &[]),
            Some(schema) => session.ask(
                "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname = $1",
                &[schema],
            ),
        };
        let rows = asked.map_err(|failure| self.failed(failure, "look for its schema"))?;
        let found: Option<String> = rows.first().and_then(|row| row.get(0));
        let schema = found.ok_or_else(|| match &self.options.table.schema {
            None => self.invalid(
                "the user's search_path has no schema that is there; write the option 'table' as 'schema.name'",
            ),
            Some(schema) => {
                let make = format!("CREATE SCHEMA {};", quoted(schema));
                self.invalid(&format!("there is no schema '{schema}'; run: {make}"))
            }
        })?;
        Ok(Qualified {
            schema,
            name: self.options.table.name.clone(),
        })
    }

    /// Makes the table of the progress, and the sink's row in it, if they are not there.
    fn begin(&self, session: &Session, progress: &Progress, history: &str) -> Result<(), Error> {
        let table = progress.table();
        let found = table::find(session, &table);
        let found = found.map_err(|failure| self.failed(failure, "look at its progress"))?;
        if found.is_none() {
            self.make(session, &table, &progress.create())?;
        } else if found.is_some_and(|found| !found.may) {
            let user = quoted(&self.options.server.user);
            return Err(self.invalid(&format!(
                "its user may not note how far it came; run: GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user};"
            )));
        }
        let begun = progress.begin(session, history);
        begun.map_err(|failure| self.failed(failure, "begin its progress"))
    }

    /// Makes a table, if that is wanted.
    fn make(&self, session: &Session, table: &Qualified, create: &str) -> Result<(), Error> {
        if !self.options.create {
            return Err(self.invalid(&format!(
                "there is no table {table}, and create = 'false'; run: {create};"
            )));
        }
        let made = session.batch(&format!("BEGIN; {ALONE}; {create}; COMMIT"));
        made.map_err(|failure| self.failed(failure, &format!("make table {table}")))?;
        info!(sink = self.sink, table = %table, "made a table");
        Ok(())
    }

    /// Sees whether what is there is of this history, and whether the sink's table is what it needs; makes it if it may be made.
    fn prepare(&self, session: &Session, progress: &Progress, history: &str) -> Result<(), Error> {
        let target = &progress.target;
        let find = || {
            let found = table::find(session, target);
            found.map_err(|failure| self.failed(failure, &format!("look at table {target}")))
        };
        let standing = progress.standing(session, false);
        let standing = standing.map_err(|failure| self.failed(failure, "look at its progress"))?;
        let standing = standing.ok_or_else(|| progress.forgotten())?;
        progress.check(&standing, history)?;
        let mut found = find()?;
        if found.is_none() && standing.epoch > Epoch(0) {
            return Err(progress.gone(standing.epoch));
        }
        if found.is_none() {
            let create = table::create(target, &self.columns, &self.key);
            self.make(session, target, &create)?;
            found = find()?;
        }
        let Some(found) = found else {
            return Err(self.invalid(&format!(
                "table {target} went away as soon as it was made; see who drops it"
            )));
        };
        let user = &self.options.server.user;
        match table::misfit(target, &found, &self.columns, &self.key, user) {
            Some(why) => Err(self.invalid(&why)),
            None => Ok(()),
        }
    }

    /// Takes the sink over, after whoever is in the middle of a transaction.
    fn claim(
        &self,
        session: &Session,
        progress: &Progress,
        history: &str,
    ) -> Result<(String, Epoch), Error> {
        let failed = |failure| self.failed(failure, "take its table over");
        session.batch("BEGIN").map_err(failed)?;
        let standing = progress.standing(session, true).map_err(failed)?;
        let standing = standing.ok_or_else(|| progress.forgotten())?;
        progress.check(&standing, history)?;
        let owner = Uuid::new_v4().to_string();
        progress.claim(session, &owner, history).map_err(failed)?;
        session.batch("COMMIT").map_err(failed)?;
        Ok((owner, standing.epoch))
    }

    fn opened(&self, history: &str) -> Result<(Open, Epoch), Error> {
        let server = &self.options.server;
        let action = format!(
            "connect to database {} at {}:{}",
            literal(&server.database).trim(),
            server.host,
            server.port
        );
        let session = Session::connect(server);
        let session = session.map_err(|failure| self.failed(failure, &action))?;
        let progress = Progress {
            job: self.job.clone(),
            sink: self.sink.clone(),
            target: self.target(&session)?,
        };
        self.begin(&session, &progress, history)?;
        self.prepare(&session, &progress, history)?;
        let statements = Statements::new(&progress.target, &self.columns, &self.key);
        let failed = |failure| self.failed(failure, "prepare its statements");
        let put = session.prepare(&statements.put).map_err(failed)?;
        let delete = statements.delete.map(|delete| session.prepare(&delete));
        let delete = delete.transpose().map_err(failed)?;
        let (owner, epoch) = self.claim(&session, &progress, history)?;
        let open = Open {
            session,
            progress,
            owner,
            put,
            delete,
            around_key: around_key(&self.key),
        };
        Ok((open, epoch))
    }

    /// Begins a transaction with everything in it.
    fn brought(&self, open: &mut Open, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let failed = |failure| self.failed(failure, &format!("write {}", self.options.table.name));
        // A constraint that waits for the commit could not say which record it is about.
        let begin = "BEGIN; SET CONSTRAINTS ALL IMMEDIATE";
        open.session.batch(begin).map_err(failed)?;
        let standing = open.progress.standing(&open.session, true);
        let standing = standing.map_err(failed)?;
        let standing = standing.ok_or_else(|| open.progress.forgotten())?;
        if standing.owner != open.owner {
            return Err(open.progress.fenced());
        }
        let known = parcels.partition_point(|parcel| parcel.epoch <= standing.epoch);
        let newer = &parcels[known..];
        let mut rejected = Vec::new();
        if let Some(last) = newer.last() {
            rejected = deliver(newer, self.contents, open).map_err(failed)?;
            let advanced = open.progress.advance(&open.session, last.epoch);
            advanced.map_err(failed)?;
        }
        Ok(rejected)
    }

    fn taken(&mut self) -> Result<Open, Error> {
        self.open.take().ok_or_else(|| {
            let message = format!("sink '{}' was not opened; report this", self.sink);
            Error::new(ErrorKind::Bug, message)
        })
    }
}

impl Delivery for PostgresDelivery {
    fn open(&mut self, history: &str) -> Result<Epoch, Error> {
        self.open = None;
        let (open, epoch) = self.opened(history)?;
        self.open = Some(open);
        Ok(epoch)
    }

    fn bring(&mut self, parcels: &[Parcel]) -> Result<Vec<Rejected>, Error> {
        let mut open = self.taken()?;
        let rejected = self.brought(&mut open, parcels)?;
        // After an error the connection ends, and with it what the server has not committed.
        self.open = Some(open);
        Ok(rejected)
    }

    fn settle(&mut self) -> Result<(), Error> {
        let open = self.taken()?;
        let committed = open.session.batch("COMMIT");
        committed.map_err(|failure| {
            self.failed(failure, &format!("write {}", self.options.table.name))
        })?;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    /// Records as one array of JSON.
    fn array(&self, doing: Doing, records: &[Record<'_>]) -> Result<String, String> {
        let bytes: usize = records
            .iter()
            .map(|record| record.key.len() + record.value.map_or(0, <[u8]>::len))
            .sum();
        let mut array = String::with_capacity(bytes + records.len() * 16 + 2);
        array.push('[');
        for (number, record) in records.iter().enumerate() {
            if number > 0 {
                array.push(',');
            }
            let [before, json, after] = match (doing, record.value) {
                (Doing::Put, Some(value)) => [b"".as_slice(), value, b""],
                _ => [
                    self.around_key[0].as_bytes(),
                    record.key,
                    self.around_key[1].as_bytes(),
                ],
            };
            for part in [before, json, after] {
                array.push_str(
                    std::str::from_utf8(part).map_err(|error| format!("it is no text: {error}"))?,
                );
            }
        }
        array.push(']');
        Ok(array)
    }
}

impl Doer for Open {
    fn attempt(
        &mut self,
        doing: Doing,
        records: &[Record<'_>],
    ) -> Result<Result<(), String>, Failure> {
        let statement = match doing {
            Doing::Put => &self.put,
            Doing::Delete => match &self.delete {
                Some(delete) => delete,
                None => {
                    return Ok(Err(
                        "it has no value, and rows are not taken away without a key".to_owned(),
                    ));
                }
            },
        };
        let array = match self.array(doing, records) {
            Ok(array) => array,
            Err(reason) => return Ok(Err(reason)),
        };
        self.session.batch("SAVEPOINT records")?;
        match self.session.execute(statement, &array) {
            Ok(_) => {
                self.session.batch("RELEASE SAVEPOINT records")?;
                Ok(Ok(()))
            }
            Err(failure) => {
                let reason = failure.into_reason()?;
                self.session
                    .batch("ROLLBACK TO SAVEPOINT records; RELEASE SAVEPOINT records")?;
                Ok(Err(reason))
            }
        }
    }
}
