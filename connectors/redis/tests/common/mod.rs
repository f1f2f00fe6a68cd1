//! A real Redis for the tests of a process, databases of their own, and sinks in them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test program uses some of it; a test that cannot go on has failed"
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow_schema::{DataType, Field, Schema};
use redis::{Client, Connection, FromRedisValue};
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Error, Options, Parcel};
use tidemill_connectors_redis::Redis;
use tidemill_tests_broker::redis::{PASSWORD, Redis as Server};
use tidemill_types::Epoch;
use tidemill_types::format::Contents;

pub const HISTORY: &str = "history-1";

/// A database of a server, with a client.
pub struct Database {
    pub url: String,
    pub client: Connection,
}

impl Database {
    /// A new one, on the server that the tests of this process share.
    pub fn new() -> Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        Self::on(SERVER.get_or_init(|| Server::start_with("databases 100", None).unwrap()))
    }

    /// A new one of a server, which has to have as many.
    pub fn on(server: &Server) -> Self {
        static DATABASES: AtomicU32 = AtomicU32::new(0);
        let url = server.url(DATABASES.fetch_add(1, Ordering::Relaxed) % 16);
        Self {
            client: connect(&url),
            url,
        }
    }

    /// Connects again, after the server was away.
    pub fn reconnect(&mut self) {
        self.client = connect(&self.url);
    }

    /// What a command answers, its words with a blank between them.
    pub fn ask<T: FromRedisValue>(&mut self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().unwrap());
        asked.arg(words.collect::<Vec<_>>());
        let answer = asked.query(&mut self.client);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// A sink of this database: states by `id`.
    pub fn sink(&self) -> Sink {
        Sink {
            name: "sink".to_owned(),
            contents: Contents::States,
            options: Options::new(),
        }
        .with("url", &self.url)
        .with("password", PASSWORD)
        .with("key.prefix", "film:")
    }
}

fn connect(url: &str) -> Connection {
    let info = Client::open(url).unwrap().get_connection_info().clone();
    let login = info.redis_settings().clone().set_password(PASSWORD);
    let client = Client::open(info.set_redis_settings(login)).unwrap();
    client.get_connection().unwrap()
}

/// What a delivery is made of.
#[derive(Clone)]
pub struct Sink {
    pub name: String,
    pub contents: Contents,
    pub options: Options,
}

impl Sink {
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }

    pub fn without(mut self, option: &str) -> Self {
        self.options.remove(option);
        self
    }

    /// The same of rows that have no key.
    pub fn of_rows(mut self) -> Self {
        self.contents = Contents::Rows;
        self
    }

    pub fn delivery(&self) -> Box<dyn Delivery> {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("label", DataType::Utf8, true),
        ]);
        let key = match self.contents {
            Contents::States => vec!["id".to_owned()],
            Contents::Rows | Contents::Changes => vec![],
        };
        let delivery = Redis::default().delivery(&DeliverySpec {
            job: "job",
            name: &self.name,
            options: &self.options,
            schema: &schema,
            key: &key,
            contents: self.contents,
        });
        delivery.unwrap()
    }

    /// A delivery that is open, and the epoch that it answered.
    pub fn open(&self) -> Result<(Box<dyn Delivery>, u64), Error> {
        let mut delivery = self.delivery();
        let epoch = delivery.open(HISTORY)?;
        Ok((delivery, epoch.0))
    }

    /// Why it cannot be opened.
    pub fn refusal(&self) -> Error {
        let Err(error) = self.open() else {
            panic!("it was opened");
        };
        assert!(!error.message.contains(PASSWORD), "{error}");
        error
    }
}

/// A parcel of an epoch: labels by id, or none.
pub fn parcel<L: AsRef<str>>(
    epoch: u64,
    records: impl IntoIterator<Item = (u64, Option<L>)>,
) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(epoch),
        ..Parcel::default()
    };
    for (id, label) in records {
        let value =
            label.map(|label| serde_json::json!({"id": id, "label": label.as_ref()}).to_string());
        let value = value.as_ref().map(String::as_bytes);
        parcel.records.push(id.to_string().as_bytes(), value);
    }
    parcel
}
