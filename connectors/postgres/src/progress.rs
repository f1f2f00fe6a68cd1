//! How far each sink came: its row of the table `tidemill_deliveries`, which changes in the transactions of the rows that it tells of.
//!
//! It lies in the schema of the sink's table. Whoever owns a sink has a name of his own in its row; who finds another one there is not the
//! owner any more. The row is locked before anything is changed, so that two owners never write at once.

use tidemill_connectors_api::Error;
use tidemill_types::{Epoch, ErrorKind};

use crate::error::Failure;
use crate::names::{Qualified, literal};
use crate::session::Session;

/// The table's name.
const TABLE: &str = "tidemill_deliveries";

/// Whose progress: a sink, and the table it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub job: String,
    pub sink: String,
    pub target: Qualified,
}

/// A sink's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub target: String,
    pub history: String,
    pub epoch: Epoch,
    pub owner: String,
}

impl Progress {
    /// The table that has it.
    pub fn table(&self) -> Qualified {
        Qualified {
            schema: self.target.schema.clone(),
            name: TABLE.to_owned(),
        }
    }

    /// The statement that makes that table.
    pub fn create(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (job text NOT NULL, sink text NOT NULL, target text NOT NULL, history text NOT NULL, \
             epoch bigint NOT NULL, owner text NOT NULL, PRIMARY KEY (job, sink))",
            self.table()
        )
    }

    /// Where the sink's row is, in a statement that a person can run as well.
    fn at(&self) -> String {
        let (job, sink) = (literal(&self.job), literal(&self.sink));
        format!("WHERE job = {job} AND sink = {sink}")
    }

    /// The sink's row, as it is now; locked until the transaction ends, if it is to be.
    pub fn standing(&self, session: &Session, locked: bool) -> Result<Option<Standing>, Failure> {
        let lock = if locked { " FOR UPDATE" } else { "" };
        let sql = format!(
            "SELECT target, history, epoch, owner FROM {} {}{lock}",
            self.table(),
            self.at()
        );
        let rows = session.ask(&sql, &[])?;
        Ok(rows.first().map(|row| Standing {
            target: row.get(0),
            history: row.get(1),
            epoch: Epoch(u64::try_from(row.get::<_, i64>(2)).unwrap_or(0)),
            owner: row.get(3),
        }))
    }

    /// Makes the row if it is not there. It belongs to nobody yet.
    pub fn begin(&self, session: &Session, history: &str) -> Result<(), Failure> {
        let insert = format!(
            "INSERT INTO {} (job, sink, target, history, epoch, owner) VALUES ($1, $2, $3, $4, 0, '') ON CONFLICT DO NOTHING",
            self.table()
        );
        let target = self.target.to_string();
        let row = [self.job.as_str(), &self.sink, &target, history];
        session.ask(&insert, &row).map(drop)
    }

    /// Takes the row over. It is locked.
    pub fn claim(&self, session: &Session, owner: &str, history: &str) -> Result<(), Failure> {
        let update = format!(
            "UPDATE {} SET owner = $1, history = $2, target = $3 {}",
            self.table(),
            self.at()
        );
        let target = self.target.to_string();
        session.ask(&update, &[owner, history, &target]).map(drop)
    }

    /// Notes that everything through an epoch is there. The row is locked.
    pub fn advance(&self, session: &Session, epoch: Epoch) -> Result<(), Failure> {
        let update = format!(
            "UPDATE {} SET epoch = {} {}",
            self.table(),
            epoch.0,
            self.at()
        );
        session.batch(&update)
    }

    /// Refuses a table that has something of another history, or whose sink wrote another table before.
    pub fn check(&self, standing: &Standing, history: &str) -> Result<(), Error> {
        if standing.epoch == Epoch(0) {
            return Ok(());
        }
        let (target, at, table) = (&self.target, self.at(), self.table());
        let (sink, epoch) = (&self.sink, standing.epoch.0);
        if standing.target != target.to_string() {
            let moved = literal(&target.to_string());
            return Err(invalid(format!(
                "sink '{sink}' wrote {} before, up to epoch {epoch}, which {target} lacks; name that table again, or if it was renamed run: UPDATE {table} SET target = {moved} {at};",
                standing.target
            )));
        }
        if standing.history != history {
            return Err(invalid(format!(
                "sink '{sink}': {target} has what history '{}' of job '{}' brought, up to epoch {epoch}, and the job counts anew, in history '{history}'; to begin anew there too run: TRUNCATE {target}; DELETE FROM {table} {at};",
                standing.history, self.job
            )));
        }
        Ok(())
    }

    /// That the table is gone which has what was delivered.
    pub fn gone(&self, epoch: Epoch) -> Error {
        let (target, sink) = (&self.target, &self.sink);
        invalid(format!(
            "sink '{sink}': {target} is gone, and with it all through epoch {}; bring it back from a backup, or to begin with an empty one run: DELETE FROM {} {};",
            epoch.0,
            self.table(),
            self.at()
        ))
    }

    /// That a newer owner is there.
    pub fn fenced(&self) -> Error {
        let message = format!(
            "sink '{}': another run of job '{}' has taken {} over; this one has to end",
            self.sink, self.job, self.target
        );
        Error::new(ErrorKind::Fenced, message)
    }

    /// That the row is gone.
    pub fn forgotten(&self) -> Error {
        let message = format!(
            "sink '{}': its row in {} was deleted; it is opened again, and begins anew",
            self.sink,
            self.table()
        );
        Error::new(ErrorKind::Retry, message)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
