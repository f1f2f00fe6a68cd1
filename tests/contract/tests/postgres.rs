//! The contracts of a delivery, on a real PostgreSQL: each has a database of its own there.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use postgres::Client;
use serde_json::{Value, json};
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Options};
use tidemill_connectors_postgres::Postgres;
use tidemill_tests_broker::postgres::{PASSWORD, Postgres as Server, connect};
use tidemill_tests_contract::deliveries::{KEY, Target, schema};
use tidemill_tests_contract::delivery_contracts;
use tidemill_types::format::Contents;

/// The server of this test process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(None).unwrap())
}

/// Who uses the server: a contract that makes it go away does so when no other one is running.
static IN_USE: RwLock<()> = RwLock::new(());

struct Database {
    name: String,
    shared: Option<RwLockReadGuard<'static, ()>>,
    alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Database {
    fn new() -> Self {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let shared = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
        let name = format!("contract_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut client = client("postgres");
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        Self {
            name,
            shared: Some(shared),
            alone: None,
        }
    }
}

fn client(database: &str) -> Client {
    connect(server().port(), database).unwrap()
}

impl Target for Database {
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        let options = [
            ("url", server().url(&self.name)),
            ("user", "postgres".to_owned()),
            ("password", PASSWORD.to_owned()),
            ("table", format!("table of {sink}")),
            ("timeout", "20 s".to_owned()),
        ];
        let options: Options = options
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let key = match contents {
            Contents::States => vec![KEY.to_owned()],
            Contents::Rows | Contents::Changes => vec![],
        };
        let spec = DeliverySpec {
            job: "job",
            name: sink,
            options: &options,
            schema: &schema(),
            key: &key,
            contents,
        };
        Postgres.delivery(&spec).unwrap()
    }

    fn there(&mut self, sink: &str) -> Vec<Value> {
        let sql = format!(
            r#"SELECT id, label, amount::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
               FROM "table of {sink}" ORDER BY id"#
        );
        let rows = client(&self.name).query(&sql, &[]).unwrap();
        let text = |row: &postgres::Row, column: usize| row.get::<_, Option<String>>(column);
        let rows = rows.iter().map(|row| {
            json!({"id": row.get::<_, i64>(0), "label": text(row, 1), "amount": text(row, 2), "at": text(row, 3)})
        });
        rows.collect()
    }

    fn go_away(&mut self) {
        self.shared = None;
        self.alone = Some(IN_USE.write().unwrap_or_else(PoisonError::into_inner));
        server().kill().unwrap();
    }

    fn come_back(&mut self) {
        server().start_again().unwrap();
        self.alone = None;
    }

    fn misfit(&mut self, _: &str) -> Option<Value> {
        let label = "PostgreSQL has no character \0";
        Some(json!({"id": 2, "label": label, "amount": "1.00", "at": null}))
    }
}

delivery_contracts!(Database::new());
