//! A real PostgreSQL for the tests of a process, databases of their own, and sinks in them.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test program uses some of it; a test that cannot go on has failed"
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_schema::{DataType, Field, Schema};
use postgres::Client;
use tidemill_connectors_api::{
    Connector, Delivery, DeliverySpec, Error, Options, Parcel, Source, SourceSpec,
};
use tidemill_connectors_postgres::Postgres;
use tidemill_tests_broker::postgres::{PASSWORD, Postgres as Server, connect};
use tidemill_types::Epoch;
use tidemill_types::format::Contents;

pub const HISTORY: &str = "history-1";

/// A database of a server, with a client that is its superuser.
pub struct Database {
    pub name: String,
    pub port: u16,
    pub client: Client,
}

impl Database {
    /// A new one, on the server that the tests of this process share.
    pub fn new() -> Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        Self::on(SERVER.get_or_init(|| Server::start(None).unwrap()))
    }

    pub fn on(server: &Server) -> Self {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut client = connect(server.port(), "postgres").unwrap();
        let create = format!("CREATE DATABASE {name}");
        client.batch_execute(&create).unwrap();
        Self {
            client: connect(server.port(), &name).unwrap(),
            port: server.port(),
            name,
        }
    }

    pub fn run(&mut self, sql: &str) {
        let ran = self.client.batch_execute(sql);
        ran.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Connects again, after the server was away.
    pub fn reconnect(&mut self) {
        self.client = connect(self.port, &self.name).unwrap();
    }

    /// What a question of texts answers, its columns with a blank between them; `-` is null.
    pub fn ask(&mut self, sql: &str) -> Vec<String> {
        let rows = self.client.query(sql, &[]);
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let rows = rows.iter().map(|row| {
            let column = |number| row.get::<_, Option<String>>(number).unwrap_or("-".into());
            (0..row.len()).map(column).collect::<Vec<_>>().join(" ")
        });
        rows.collect()
    }

    pub fn url(&self) -> String {
        format!("postgresql://127.0.0.1:{}/{}", self.port, self.name)
    }

    /// A source of a table of this database, with a slot of its own.
    pub fn reader(&self, table: &str) -> Reader {
        let slot = format!("{}_{table}", self.name);
        Reader(Options::new())
            .with("url", &self.url())
            .with("user", "postgres")
            .with("password", PASSWORD)
            .with("table", table)
            .with("slot", &slot)
    }

    /// A sink of this database: `id BIGINT NOT NULL, label VARCHAR`, with `id` as its key.
    pub fn sink(&self) -> Sink {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("label", DataType::Utf8, true),
        ]);
        Sink {
            job: "job".to_owned(),
            name: "sink".to_owned(),
            schema,
            key: vec!["id".to_owned()],
            contents: Contents::States,
            options: Options::new(),
        }
        .with("url", &self.url())
        .with("user", "postgres")
        .with("password", PASSWORD)
        .with("table", "t")
    }
}

/// The options of a source.
#[derive(Clone)]
pub struct Reader(pub Options);

impl Reader {
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.0.insert(option.to_owned(), value.to_owned());
        self
    }

    pub fn source(&self) -> Box<dyn Source> {
        let spec = SourceSpec::new("job", "source", &self.0);
        Postgres.source(&spec).unwrap()
    }

    /// A source that is open, from the first or from a position.
    pub fn open(&self, position: Option<i64>) -> Result<Box<dyn Source>, Error> {
        let mut source = self.source();
        source.describe("")?;
        source.open(&[(0, position)])?;
        Ok(source)
    }

    /// Why it cannot be opened.
    pub fn refusal(&self) -> Error {
        let Err(error) = self.open(None) else {
            panic!("it was opened");
        };
        assert!(!error.message.contains(PASSWORD), "{error}");
        error
    }
}

/// What a delivery is made of.
#[derive(Clone)]
pub struct Sink {
    pub job: String,
    pub name: String,
    pub schema: Schema,
    pub key: Vec<String>,
    pub contents: Contents,
    pub options: Options,
}

impl Sink {
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.insert(option.to_owned(), value.to_owned());
        self
    }

    /// The same of rows that have no key.
    pub fn of_rows(mut self) -> Self {
        self.key.clear();
        self.contents = Contents::Rows;
        self
    }

    pub fn try_delivery(&self) -> Result<Box<dyn Delivery>, Error> {
        Postgres.delivery(&DeliverySpec {
            job: &self.job,
            name: &self.name,
            options: &self.options,
            schema: &self.schema,
            key: &self.key,
            contents: self.contents,
        })
    }

    pub fn delivery(&self) -> Box<dyn Delivery> {
        self.try_delivery().unwrap()
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

/// A parcel of an epoch: keys with their values.
pub fn parcel<K: AsRef<str>, V: AsRef<str>>(
    epoch: u64,
    records: impl IntoIterator<Item = (K, Option<V>)>,
) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(epoch),
        ..Parcel::default()
    };
    for (key, value) in records {
        let value = value.as_ref().map(|value| value.as_ref().as_bytes());
        parcel.records.push(key.as_ref().as_bytes(), value);
    }
    parcel
}

/// A record of the usual sink.
pub fn labelled(id: u64, label: &str) -> (String, Option<String>) {
    let value = serde_json::json!({"id": id, "label": label});
    (id.to_string(), Some(value.to_string()))
}
