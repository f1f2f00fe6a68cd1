//! How fast a delivery alone brings records to a real service on the same machine: rows of some 200 bytes with a key, to a table of PostgreSQL.
//!
//! The parcels lie in memory, as the engine would give them; what is measured is the calls of `deliver`, commits included. First all keys are
//! new, in no order, then all of them change, in another one. What the table then has is held against what was given.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Map, Value, json};
use tidemill_connectors_api::{Connector, Delivery, DeliverySpec, Options, Parcel};
use tidemill_connectors_postgres::Postgres;
use tidemill_tests_broker::postgres::{PASSWORD, Postgres as Server, connect};
use tidemill_types::Epoch;
use tidemill_types::format::Contents;

/// Rows a second that are not to be undercut, and that are wished for.
const FLOOR: f64 = 25_000.0;
const GOAL: f64 = 50_000.0;
/// How many records an epoch has, and how many epochs are given at once: some 4 MB.
const RECORDS: u64 = 2_000;
const EPOCHS: usize = 10;
/// They have no divisor in common with any number of keys that is a multiple of [`RECORDS`]: keys that are so far apart are all different.
const STRIDES: [u64; 2] = [7_919, 104_729];

/// What was measured.
#[derive(Debug)]
pub struct Figure {
    /// What.
    pub name: &'static str,
    /// Rows a second.
    pub rows_per_s: f64,
    /// Not to be undercut.
    pub floor: f64,
    /// Wished for.
    pub goal: f64,
}

/// Delivers `keys` rows, and changes all of them.
///
/// # Errors
/// If the service does not start, or does not have in the end what it was given.
pub fn run(keys: u64) -> Result<Vec<Figure>> {
    ensure!(
        keys > 0 && keys.is_multiple_of(RECORDS),
        "the number of rows has to be a multiple of {RECORDS}"
    );
    let server = Server::start(None)?;
    let measured = measure(&server, keys);
    server.stop()?;
    measured
}

/// All figures as the bench's line has them, and whether all floors are met.
#[must_use]
pub fn to_json(figures: &[Figure]) -> Value {
    let of = |figure: &Figure| {
        let (floor, goal) = (figure.floor, figure.goal);
        let value = json!({"value": figure.rows_per_s.round(), "floor": floor, "goal": goal});
        (figure.name.to_owned(), value)
    };
    let all: Map<String, Value> = figures.iter().map(of).collect();
    let floors_met = figures
        .iter()
        .all(|figure| figure.rows_per_s >= figure.floor);
    json!({"figures": all, "floors_met": floors_met})
}

fn measure(server: &Server, keys: u64) -> Result<Vec<Figure>> {
    let mut delivery = delivery(server)?;
    delivery.open("bench")?;
    let names = ["postgres_new_rows_per_s", "postgres_changed_rows_per_s"];
    let mut figures = Vec::new();
    for (round, name) in (0..).zip(names) {
        let took = deliver(delivery.as_mut(), keys, round)?;
        check(server, keys, round)?;
        figures.push(Figure {
            name,
            rows_per_s: per_s(keys, took),
            floor: FLOOR,
            goal: GOAL,
        });
    }
    Ok(figures)
}

fn delivery(server: &Server) -> Result<Box<dyn Delivery>> {
    let options = [
        ("url", server.url("postgres")),
        ("user", "postgres".to_owned()),
        ("password", PASSWORD.to_owned()),
        ("table", "payment".to_owned()),
    ];
    let options: Options = options
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let field = |name: &str, data_type| Field::new(name, data_type, name != "id");
    let schema = Schema::new(vec![
        field("id", DataType::Int64),
        field("production_id", DataType::Int64),
        field("payee", DataType::Utf8),
        field("amount", DataType::Decimal128(18, 2)),
        field("currency", DataType::Utf8),
        field("status", DataType::Utf8),
        field("due_on", DataType::Date32),
        field(
            "updated_at",
            DataType::Timestamp(TimeUnit::Millisecond, None),
        ),
    ]);
    Ok(Postgres.delivery(&DeliverySpec {
        job: "bench",
        name: "payment",
        options: &options,
        schema: &schema,
        key: &["id".to_owned()],
        contents: Contents::States,
    })?)
}

/// Delivers every key once, and says how long the calls took.
fn deliver(delivery: &mut dyn Delivery, keys: u64, round: u64) -> Result<Duration> {
    let mut took = Duration::ZERO;
    let epochs: Vec<u64> = (0..keys / RECORDS).collect();
    for epochs in epochs.chunks(EPOCHS) {
        let parcels: Vec<Parcel> = epochs
            .iter()
            .map(|epoch| parcel(keys, round, *epoch))
            .collect();
        let start = Instant::now();
        let rejected = delivery.deliver(&parcels)?;
        took += start.elapsed();
        ensure!(rejected.is_empty(), "rejected: {:?}", rejected.first());
    }
    Ok(took)
}

fn parcel(keys: u64, round: u64, epoch: u64) -> Parcel {
    let mut parcel = Parcel {
        epoch: Epoch(1 + round * (keys / RECORDS) + epoch),
        ..Parcel::default()
    };
    let stride = STRIDES[usize::from(round > 0)];
    for number in epoch * RECORDS..(epoch + 1) * RECORDS {
        let id = number.wrapping_mul(stride) % keys;
        let value = row(id, round);
        parcel
            .records
            .push(id.to_string().as_bytes(), Some(value.as_bytes()));
    }
    parcel
}

/// As the format `json` writes it: 200 bytes, a few less for small numbers.
fn row(id: u64, round: u64) -> String {
    format!(
        r#"{{"id":{id},"production_id":{},"payee":"Payee number {id} of the production","amount":"{}.{:02}","currency":"EUR","status":"{}","due_on":"2026-{:02}-15","updated_at":"2026-05-01T09:30:00.{:03}Z"}}"#,
        id % 1_000,
        id % 100_000,
        (id + round) % 100,
        if round == 0 { "planned" } else { "paid" },
        id % 12 + 1,
        id % 1_000,
    )
}

/// The table has every key once, each with what it was given last.
fn check(server: &Server, keys: u64, round: u64) -> Result<()> {
    let row = connect(server.port(), "postgres")?.query_one(
        "SELECT count(*)::text, sum(amount * 100)::bigint::text, min(status) || max(status) FROM payment",
        &[],
    )?;
    let found: [String; 3] = [0, 1, 2].map(|column| row.get(column));
    let cents: u64 = (0..keys)
        .map(|id| id % 100_000 * 100 + (id + round) % 100)
        .sum();
    let status = if round == 0 { "planned" } else { "paid" };
    let expected = [keys.to_string(), cents.to_string(), status.repeat(2)];
    ensure!(
        found == expected,
        "the table has {found:?} rows, cents and states, and was given {expected:?}"
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some millions of rows")]
pub(crate) fn per_s(rows: u64, took: Duration) -> f64 {
    rows as f64 / took.as_secs_f64()
}
