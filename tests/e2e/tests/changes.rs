//! A bank in a real PostgreSQL, whose transfers a job reads from the database's own log: no committed total is ever another than the bank's, and
//! a copy in another table ends as the accounts do, through kills of the job and of the database. Needs `scripts/setup.sh postgres`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tidemill_tests_broker::postgres::{PASSWORD, Postgres, connect};
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::run;
use tidemill_tests_e2e::process::Live;
use tidemill_tests_e2e::seed::draws;

const SQL: &str = "
CREATE SOURCE account_changes (id BIGINT NOT NULL, bank VARCHAR NOT NULL, balance DECIMAL(18, 2) NOT NULL)
WITH (connector = 'postgres', url = '${POSTGRES}', user = 'postgres', password = '${PASSWORD}', table = 'account', slot = 'bank',
      format = 'json', envelope = 'debezium');
CREATE TABLE account (PRIMARY KEY (id)) FROM account_changes;
CREATE VIEW total AS SELECT bank, count(*) AS accounts, SUM(balance) AS balance FROM account GROUP BY bank;
CREATE SINK totals WITH (connector = 'files', path = '${DATA}', topic = 'totals', key = 'bank') AS SELECT * FROM total;
CREATE SINK copy WITH (connector = 'postgres', url = '${POSTGRES}', user = 'postgres', password = '${PASSWORD}', table = 'account_copy', key = 'id')
AS SELECT id, balance FROM account;
";
/// Many small epochs, and some checkpoints.
const HASTY: [&str; 4] = [
    "--epoch-interval",
    "10 ms",
    "--checkpoint-interval",
    "300 ms",
];
const ACCOUNTS: i64 = 2_000;
/// What each account begins with, in cents.
const CENTS: i64 = 10_000;

struct Bank {
    folder: TempDir,
    postgres: Postgres,
}

impl Bank {
    fn new() -> Self {
        let bank = Self {
            folder: TempDir::new().unwrap(),
            postgres: Postgres::start(None).unwrap(),
        };
        fs::write(bank.path("bank.sql"), SQL).unwrap();
        let balance = format!("{}.{:02}", CENTS / 100, CENTS % 100);
        let made = format!(
            "CREATE TABLE account (id bigint PRIMARY KEY, bank text NOT NULL, balance numeric(18, 2) NOT NULL, note text);
             ALTER TABLE account REPLICA IDENTITY FULL;
             INSERT INTO account SELECT id, 'main', {balance} FROM generate_series(1, {ACCOUNTS}) AS id"
        );
        connect(bank.postgres.port(), "postgres")
            .unwrap()
            .batch_execute(&made)
            .unwrap();
        bank
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, workers: usize, more: &[&str]) -> Live {
        let more = [&HASTY[..], more].concat();
        let mut command: Command = run(
            &self.path("bank.sql"),
            "bank",
            &self.path("state"),
            workers,
            &more,
        );
        command.env("DATA", self.path("data"));
        command.env("POSTGRES", self.postgres.url("postgres"));
        command.env("PASSWORD", PASSWORD);
        Live::start(command)
    }

    /// Balances by account.
    fn balances(&self, table: &str) -> BTreeMap<i64, String> {
        let sql = format!("SELECT id, balance::text FROM {table}");
        let rows = connect(self.postgres.port(), "postgres")
            .unwrap()
            .query(&sql, &[])
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Every total that was ever committed: how many accounts, and their cents.
    fn totals(&self) -> Vec<(i64, i64)> {
        let records = files::records(&self.path("data"), "totals").into_iter();
        let totals = records.filter_map(|(_, value)| {
            let row: Value = serde_json::from_str(&value?).unwrap();
            let cents = row["balance"].as_str().unwrap().replace('.', "");
            Some((row["accounts"].as_i64().unwrap(), cents.parse().unwrap()))
        });
        totals.collect()
    }
}

/// Money that moves between accounts until it is stopped, whether the database is there or not.
struct Transfers {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Transfers {
    fn begin(port: u16, mut draws: ChaCha8Rng) -> Self {
        let (stop, made) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            let mut connected = None;
            while !stopped.load(Ordering::Relaxed) {
                let mut client = match connected.take() {
                    Some(client) => client,
                    None => match connect(port, "postgres") {
                        Ok(client) => client,
                        Err(_) => continue,
                    },
                };
                if transfer(&mut client, &mut draws).is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                    connected = Some(client);
                }
            }
        });
        Self { stop, made, thread }
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// One transaction: some accounts pay, others get it. Now and then it is rolled back, or has a column that nobody reads changed.
fn transfer(client: &mut postgres::Client, draws: &mut ChaCha8Rng) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    for _ in 0..draws.random_range(1..=6) {
        let (from, to) = (
            draws.random_range(1..=ACCOUNTS),
            draws.random_range(1..=ACCOUNTS),
        );
        let cents = draws.random_range(1..500i64);
        for (account, cents) in [(from, -cents), (to, cents)] {
            transaction.execute(
                "UPDATE account SET balance = balance + $1::bigint / 100.0, note = repeat('n', $2) WHERE id = $3",
                &[&cents, &i32::try_from(cents.abs() * 20).unwrap(), &account],
            )?;
        }
    }
    if draws.random_range(0..10) == 0 {
        transaction.rollback()
    } else {
        transaction.commit()
    }
}

#[test]
fn no_committed_total_is_ever_impossible_and_the_copy_ends_as_the_accounts_do() {
    let mut draws = draws(env!("CARGO_PKG_NAME"), "changes");
    let bank = Bank::new();
    let transfers = Transfers::begin(bank.postgres.port(), draws.clone());
    for round in 0..8 {
        let mut live = bank.start(1 + round % 3, &[]);
        let wanted = transfers.made() + draws.random_range(50..200);
        live.until("some transfers", || transfers.made() >= wanted);
        let epoch = files::committed_epoch(&bank.path("data"));
        live.until("commits", || {
            files::committed_epoch(&bank.path("data")) > epoch + 5
        });
        if round % 3 == 2 {
            bank.postgres.kill().unwrap();
            bank.postgres.start_again().unwrap();
            let wanted = transfers.made() + 20;
            live.until("more transfers", || transfers.made() >= wanted);
        }
        live.kill();
    }
    transfers.end();
    let last = bank.start(2, &["--until-caught-up"]).ends().last();
    assert_eq!(last["dead_letters"], 0, "{last}");

    assert_eq!(bank.balances("account_copy"), bank.balances("account"));
    let totals = bank.totals();
    let whole = totals
        .iter()
        .position(|(accounts, _)| *accounts == ACCOUNTS)
        .unwrap();
    assert!(totals.len() > whole, "nothing was committed");
    for total in &totals[whole..] {
        assert_eq!(*total, (ACCOUNTS, ACCOUNTS * CENTS));
    }
}
