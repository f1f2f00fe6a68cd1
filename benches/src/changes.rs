//! How fast a source alone takes a table of a real PostgreSQL on the same machine, and then the table's changes: rows of some 150 bytes.
//!
//! First the table as it is, from the call that makes the replication slot to the last row; then one update of every row, in transactions of
//! [`TRANSACTION`] rows that were committed before the clock starts. What comes is counted, and the last state of every row summed up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use tidemill_connectors_api::{Connector, Options, Source, SourceBatch, SourceSpec};
use tidemill_connectors_postgres::Postgres;
use tidemill_tests_broker::postgres::{PASSWORD, Postgres as Server, connect};

use crate::deliveries::{Figure, per_s};

/// Rows a second of a table as it is.
const SNAPSHOT_FLOOR: f64 = 150_000.0;
const SNAPSHOT_GOAL: f64 = 300_000.0;
/// Changes a second.
const CHANGES_FLOOR: f64 = 40_000.0;
const CHANGES_GOAL: f64 = 100_000.0;
/// Rows of a transaction.
const TRANSACTION: u64 = 1_000;
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads `rows` rows, and one change of each.
///
/// # Errors
/// If the service does not start, or something else comes than what the table has.
pub fn run(rows: u64) -> Result<Vec<Figure>> {
    let server = Server::start(None)?;
    let measured = measure(&server, rows);
    server.stop()?;
    measured
}

fn measure(server: &Server, rows: u64) -> Result<Vec<Figure>> {
    let mut client = connect(server.port(), "postgres")?;
    client.batch_execute(&format!(
        "CREATE TABLE payment (id bigint PRIMARY KEY, production_id bigint, payee text, amount numeric(18, 2), currency text, status text,
                               due_on date, updated_at timestamp);
         ALTER TABLE payment REPLICA IDENTITY FULL;
         INSERT INTO payment SELECT id, id % 1000, 'Payee number ' || id || ' of the production', id % 100000 + 0.50, 'EUR', 'planned',
                                    date '2026-01-15' + (id % 300)::int, timestamp '2026-05-01 09:30:00' FROM generate_series(1, {rows}) AS id"
    ))?;
    let options = [
        ("url", server.url("postgres")),
        ("user", "postgres".to_owned()),
        ("password", PASSWORD.to_owned()),
        ("table", "payment".to_owned()),
        ("slot", "bench".to_owned()),
    ];
    let options: Options = options
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let start = Instant::now();
    let mut source = Postgres.source(&SourceSpec::new("bench", "payment", &options))?;
    source.describe("")?;
    source.open(&[(0, None)])?;
    let snapshot = read(source.as_mut(), rows)?;
    let took = start.elapsed();
    check(&snapshot, rows, 0)?;
    for first in (1..=rows).step_by(usize::try_from(TRANSACTION)?) {
        let last = first + TRANSACTION - 1;
        let sql =
            "UPDATE payment SET amount = amount + 1, status = 'paid' WHERE id BETWEEN $1 AND $2";
        client.execute(sql, &[&i64::try_from(first)?, &i64::try_from(last)?])?;
    }
    let start = Instant::now();
    let changes = read(source.as_mut(), rows)?;
    let changed = start.elapsed();
    check(&changes, rows, 1)?;
    Ok(vec![
        Figure {
            name: "postgres_snapshot_rows_per_s",
            rows_per_s: per_s(rows, took),
            floor: SNAPSHOT_FLOOR,
            goal: SNAPSHOT_GOAL,
        },
        Figure {
            name: "postgres_changes_per_s",
            rows_per_s: per_s(rows, changed),
            floor: CHANGES_FLOOR,
            goal: CHANGES_GOAL,
        },
    ])
}

fn read(source: &mut dyn Source, records: u64) -> Result<Vec<SourceBatch>> {
    let (mut batches, mut count, mut last) = (Vec::new(), 0, Instant::now());
    while count < records {
        ensure!(last.elapsed() < PATIENCE, "only {count} of {records} came");
        let before = batches.len();
        source.poll(Duration::from_millis(50), 1 << 20, &mut batches)?;
        let new: usize = batches[before..]
            .iter()
            .map(|batch| batch.records.len())
            .sum();
        if new > 0 {
            count += new as u64;
            last = Instant::now();
        }
    }
    Ok(batches)
}

/// Every row came once, with what it has after so many changes.
fn check(batches: &[SourceBatch], rows: u64, changes: u64) -> Result<()> {
    let mut amounts: HashMap<u64, Value> = HashMap::new();
    for record in batches.iter().flat_map(|batch| batch.records.iter()) {
        let change: Value = serde_json::from_slice(record.value.unwrap_or_default())?;
        let after = &change["after"];
        let id = after["id"].as_u64().unwrap_or_default();
        amounts.insert(id, after["amount"].clone());
    }
    let is_right = |id: u64| {
        // Halves are exact in floating point.
        let amount = u32::try_from(id % 100_000 + changes).map(|units| f64::from(units) + 0.5);
        amounts.get(&id).and_then(Value::as_f64) == amount.ok()
    };
    let wrong = (1..=rows).find(|id| !is_right(*id));
    ensure!(
        wrong.is_none() && amounts.len() as u64 == rows,
        "of {rows} rows came {}; wrong is {wrong:?}: {:?}",
        amounts.len(),
        wrong.and_then(|id| amounts.get(&id))
    );
    Ok(())
}
