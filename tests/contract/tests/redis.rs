//! The contracts of a delivery, on a real Redis: each has a database of its own there. Once with rows as strings, once as hashes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, also in its helpers"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redis::{Client, Connection, ConnectionLike, Value as Answer, cmd};
use serde_json::{Map, Value, json};
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Options};
use tidemill_connectors_redis::Redis;
use tidemill_tests_broker::redis::{PASSWORD, Redis as Server};
use tidemill_tests_contract::deliveries::{KEY, Target, schema};
use tidemill_types::format::Contents;

/// The server of this test process. Each contract has a database there.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start_with("databases 100", None).unwrap())
}

/// Who uses the server: a contract that makes it go away does so when no other one is running.
static IN_USE: RwLock<()> = RwLock::new(());

struct Database {
    url: String,
    kept_as: &'static str,
    shared: Option<RwLockReadGuard<'static, ()>>,
    alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Database {
    fn new(kept_as: &'static str) -> Self {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let shared = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        Self {
            url: server().url(u32::try_from(number).unwrap()),
            kept_as,
            shared: Some(shared),
            alone: None,
        }
    }

    fn connection(&self) -> Connection {
        let client = Client::open(self.url.as_str()).unwrap();
        let info = client.get_connection_info().clone();
        let login = info.redis_settings().clone().set_password(PASSWORD);
        let client = Client::open(info.set_redis_settings(login)).unwrap();
        client.get_connection().unwrap()
    }
}

/// A hash, or an entry of a stream, as the row that it was.
fn row(fields: Vec<(String, String)>) -> Value {
    let mut row = Map::new();
    for column in schema().fields() {
        row.insert(column.name().clone(), Value::Null);
    }
    for (name, text) in fields {
        let value = match name.as_str() {
            "id" => json!(text.parse::<i64>().unwrap()),
            _ => Value::String(text),
        };
        row.insert(name, value);
    }
    Value::Object(row)
}

impl Target for Database {
    fn delivery(&mut self, sink: &str, contents: Contents) -> Box<dyn Delivery> {
        let mut options = Options::from(
            [
                ("url", self.url.clone()),
                ("password", PASSWORD.to_owned()),
                ("key.prefix", format!("{sink}:")),
                ("timeout", "20 s".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let key = match contents {
            Contents::States => {
                options.insert("type".to_owned(), self.kept_as.to_owned());
                vec![KEY.to_owned()]
            }
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
        Redis::default().delivery(&spec).unwrap()
    }

    fn there(&mut self, sink: &str) -> Vec<Value> {
        let mut connection = self.connection();
        let keys: Vec<String> = cmd("KEYS")
            .arg(format!("{sink}:*"))
            .query(&mut connection)
            .unwrap();
        let mut rows = Vec::new();
        for key in keys {
            if key.ends_with(":.tidemill") {
                continue;
            }
            let kind: String = cmd("TYPE").arg(&key).query(&mut connection).unwrap();
            match kind.as_str() {
                "string" => {
                    let value: String = cmd("GET").arg(&key).query(&mut connection).unwrap();
                    rows.push(serde_json::from_str(&value).unwrap());
                }
                "hash" => {
                    let fields = cmd("HGETALL").arg(&key).query(&mut connection).unwrap();
                    rows.push(row(fields));
                }
                "stream" => {
                    type Entry = (String, Vec<(String, String)>);
                    let mut entries = cmd("XRANGE");
                    let entries = entries.arg(&key).arg("-").arg("+");
                    let entries: Vec<Entry> = entries.query(&mut connection).unwrap();
                    rows.extend(entries.into_iter().map(|(_, fields)| row(fields)));
                }
                // The misfit's key is somebody else's.
                _ => {}
            }
        }
        rows.sort_by_key(|row: &Value| row["id"].as_i64());
        rows
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

    fn misfit(&mut self, sink: &str) -> Option<Value> {
        let mut connection = self.connection();
        let list = cmd("RPUSH").arg(format!("{sink}:2")).arg("x").clone();
        let pushed = connection.req_command(&list).unwrap();
        assert_eq!(pushed, Answer::Int(1));
        Some(json!({"id": 2, "label": "of a list", "amount": "1.00", "at": null}))
    }
}

mod strings {
    tidemill_tests_contract::delivery_contracts!(super::Database::new("string"));
}

mod hashes {
    tidemill_tests_contract::delivery_contracts!(super::Database::new("hash"));
}
