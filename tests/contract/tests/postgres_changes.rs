//! The contracts of changes, on a real PostgreSQL: each has a database of its own there.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use postgres::Client;
use tidemill_connectors_api::{Connector, Options, Source, SourceSpec};
use tidemill_connectors_postgres::Postgres;
use tidemill_tests_broker::postgres::{PASSWORD, Postgres as Server, connect};
use tidemill_tests_contract::change_contracts;
use tidemill_tests_contract::changes::{Change, Database};

/// The server of this test process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(None).unwrap())
}

fn client(database: &str) -> Client {
    connect(server().port(), database).unwrap()
}

/// A transaction that is open anywhere on the server holds up who makes a slot, and what was committed before that comes by the snapshot: so
/// one contract runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct World {
    _alone: MutexGuard<'static, ()>,
    name: String,
    client: Client,
    /// Of the transaction that is open.
    other: Option<Client>,
}

impl World {
    fn new() -> Self {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("changes_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        client("postgres")
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        Self {
            _alone: alone,
            client: client(&name),
            name,
            other: None,
        }
    }
}

fn change(client: &mut Client, table: &str, changes: &[Change<'_>]) {
    let sql = changes.iter().map(|change| match change {
        Change::Put(id, label) => format!(
            "INSERT INTO {table} VALUES ({id}, '{label}') ON CONFLICT (id) DO UPDATE SET label = excluded.label;"
        ),
        Change::Remove(id) => format!("DELETE FROM {table} WHERE id = {id};"),
    });
    client.batch_execute(&sql.collect::<String>()).unwrap();
}

impl Database for World {
    fn make_table(&mut self, table: &str) {
        let sql = format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, label varchar); ALTER TABLE {table} REPLICA IDENTITY FULL"
        );
        self.client.batch_execute(&sql).unwrap();
    }

    fn commit(&mut self, table: &str, changes: &[Change<'_>]) {
        self.client.batch_execute("BEGIN").unwrap();
        change(&mut self.client, table, changes);
        self.client.batch_execute("COMMIT").unwrap();
    }

    fn begin(&mut self, table: &str, changes: &[Change<'_>]) {
        let mut other = client(&self.name);
        other.batch_execute("BEGIN").unwrap();
        change(&mut other, table, changes);
        self.other = Some(other);
    }

    fn end(&mut self) {
        let mut other = self.other.take().unwrap();
        other.batch_execute("COMMIT").unwrap();
    }

    fn lose_log(&mut self, table: &str) {
        let drop = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'tidemill_job_{table}'"
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        // The server notices that its reader is gone.
        while let Err(error) = self.client.batch_execute(&drop) {
            assert!(Instant::now() < deadline, "{error:?}");
        }
    }

    fn source(&mut self, table: &str) -> Box<dyn Source> {
        let options = [
            ("url", server().url(&self.name)),
            ("user", "postgres".to_owned()),
            ("password", PASSWORD.to_owned()),
            ("table", format!("public.{table}")),
        ];
        let options: Options = options
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let spec = SourceSpec::new("job", table, &options);
        Postgres.source(&spec).unwrap()
    }
}

change_contracts!(World::new());
