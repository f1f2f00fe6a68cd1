//! A job with sinks of three kinds, on real services that are killed one after the other: files that are committed, a table of PostgreSQL and an
//! index of OpenSearch that are delivered. Each has in the end what the input says. Needs `scripts/setup.sh postgres opensearch`.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot go on without fails it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::{Client, Question, Trust};
use tidemill_tests_broker::postgres::{PASSWORD, Postgres, connect};
use tidemill_tests_broker::search::{Engine, SearchNode};
use tidemill_tests_e2e::binaries::{scratch, tidemill};
use tidemill_tests_e2e::files;
use tidemill_tests_e2e::jobs::{run, text};
use tidemill_tests_e2e::process::{Live, call};
use tidemill_tests_e2e::seed::draws;

const SOURCE: &str = "
CREATE SOURCE order_events (
    id BIGINT NOT NULL METADATA FROM 'id', region VARCHAR NOT NULL, amount DECIMAL(18, 2), ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${DATA}', topic = 'orders', envelope = 'crud', entity = 'order');
CREATE TABLE orders (PRIMARY KEY (id)) FROM order_events VERSION BY ts;
CREATE VIEW totals AS SELECT region, count(*) AS orders, SUM(amount) AS amount FROM orders GROUP BY region;
";
const TOPIC: &str = "
CREATE SINK totals_topic WITH (connector = 'files', path = '${DATA}', topic = 'totals', key = 'region') AS SELECT * FROM totals;
";
const TABLE: &str = "
CREATE SINK orders_table WITH (connector = 'postgres', url = '${POSTGRES}', user = 'postgres', password = '${PASSWORD}', table = 'orders', key = 'id')
AS SELECT id, region, amount FROM orders;
";
const INDEX: &str = "
CREATE SINK totals_index WITH (connector = 'search', url = '${SEARCH}', index = 'totals', key = 'region') AS SELECT * FROM totals;
";
/// Many small epochs, and some checkpoints.
const HASTY: [&str; 6] = [
    "--epoch-interval",
    "10 ms",
    "--epoch-bytes",
    "8 KiB",
    "--checkpoint-interval",
    "300 ms",
];

/// How long the index may take to answer.
const WITHIN: Duration = Duration::from_secs(30);

/// Region and amount of an order.
type Order = (String, String);

/// A job, its input, and what that comes to.
struct Shop {
    folder: TempDir,
    postgres: Postgres,
    search: Option<SearchNode>,
    orders: BTreeMap<i64, Order>,
    events: i64,
}

impl Shop {
    fn new(sinks: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let has_index = sinks.contains(&INDEX);
        // The script that ends it looks for it there when this process is gone.
        let data = scratch().join(format!("deliveries-search-{}", std::process::id()));
        let node = || SearchNode::start(&data, Engine::OpenSearch).unwrap();
        let shop = Self {
            search: has_index.then(node),
            postgres: Postgres::start(None).unwrap(),
            orders: BTreeMap::new(),
            events: 0,
            folder,
        };
        fs::write(shop.path("shop.sql"), [&[SOURCE], sinks].concat().concat()).unwrap();
        files::append(&shop.path("data"), "orders", 0, b"");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command.env("DATA", self.path("data"));
        command.env("POSTGRES", self.postgres.url("postgres"));
        command.env("PASSWORD", PASSWORD);
        let url = self.search.as_ref().map(SearchNode::url);
        command.env("SEARCH", url.unwrap_or_default());
        command
    }

    fn start(&self, workers: usize, more: &[&str]) -> Live {
        let (sql, state) = (self.path("shop.sql"), self.path("state"));
        let more = [&HASTY[..], more].concat();
        Live::start(self.with_environment(run(&sql, "shop", &state, workers, &more)))
    }

    /// More events: orders that come, change and go, some of them said again by an older event.
    fn feed(&mut self, draws: &mut ChaCha8Rng, count: i64) {
        let mut lines = String::new();
        for _ in 0..count {
            self.events += 1;
            let (id, ts) = (draws.random_range(0..400), self.events * 1_000);
            if draws.random_range(0..10) == 0 {
                self.orders.remove(&id);
                lines += &format!(
                    r#"{{"uuid":"{ts}","type":"delete","entity":"order","id":{id},"ts":{ts}}}"#
                );
            } else {
                let region = format!("region {}", draws.random_range(0..7));
                let amount = format!(
                    "{}.{:02}",
                    draws.random_range(0..900),
                    draws.random_range(0..100)
                );
                lines += &format!(
                    r#"{{"uuid":"{ts}","type":"update","entity":"order","id":{id},"ts":{ts},"data":{{"region":"{region}","amount":"{amount}"}}}}"#
                );
                self.orders.insert(id, (region, amount));
            }
            lines.push('\n');
        }
        files::append(&self.path("data"), "orders", 0, lines.as_bytes());
    }

    /// Feeds the job so many times, each time after it committed what it was fed before.
    fn feed_while(&mut self, live: &mut Live, draws: &mut ChaCha8Rng, times: u32) {
        let data = self.path("data");
        for _ in 0..times {
            let epoch = files::committed_epoch(&data);
            self.feed(draws, 200);
            live.until("a commit", || files::committed_epoch(&data) > epoch);
        }
    }

    /// What the view has: by region how many orders, and cents.
    fn totals(&self) -> BTreeMap<String, (i64, i64)> {
        let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (region, amount) in self.orders.values() {
            let of_region = totals.entry(region.clone()).or_default();
            *of_region = (of_region.0 + 1, of_region.1 + cents(amount));
        }
        totals
    }

    fn client(&self) -> postgres::Client {
        connect(self.postgres.port(), "postgres").unwrap()
    }

    fn table(&self) -> BTreeMap<i64, Order> {
        let rows = self
            .client()
            .query("SELECT id, region, amount::text FROM orders", &[]);
        let rows = rows.unwrap().into_iter();
        rows.map(|row| (row.get(0), (row.get(1), row.get(2))))
            .collect()
    }

    fn index(&self) -> BTreeMap<String, (i64, i64)> {
        let url = self.search.as_ref().unwrap().url();
        let client = Client::new(&Trust::default(), Policy::OWN, WITHIN).unwrap();
        let ask = |path: &str| {
            let answer = client.ask(Question {
                url: &format!("{url}/{path}"),
                within: WITHIN,
                bytes_max: 1 << 20,
                ..Question::default()
            });
            serde_json::from_slice::<Value>(&answer.unwrap().body).unwrap()
        };
        ask("totals/_refresh");
        let found = ask("totals/_search?size=1000");
        let hits = found["hits"]["hits"].as_array().unwrap().iter();
        hits.map(|hit| total(&hit["_source"])).collect()
    }

    /// What the committed topic says in the end.
    fn topic(&self) -> BTreeMap<String, (i64, i64)> {
        let mut newest = BTreeMap::new();
        for (key, value) in files::records(&self.path("data"), "totals") {
            newest.insert(key, value);
        }
        let values = newest.into_values().flatten();
        values
            .map(|value| total(&serde_json::from_str(&value).unwrap()))
            .collect()
    }
}

fn cents(amount: &str) -> i64 {
    amount.replace('.', "").parse().unwrap()
}

fn total(row: &Value) -> (String, (i64, i64)) {
    let amount = cents(row["amount"].as_str().unwrap());
    (
        row["region"].as_str().unwrap().to_owned(),
        (row["orders"].as_i64().unwrap(), amount),
    )
}

#[test]
fn kills_of_everything_leave_each_target_what_the_input_says() {
    let mut draws = draws(env!("CARGO_PKG_NAME"), "deliveries");
    let mut shop = Shop::new(&[TOPIC, TABLE, INDEX]);
    for round in 0..6 {
        let mut live = shop.start(1 + round % 3, &[]);
        shop.feed_while(&mut live, &mut draws, 8);
        match round {
            1 | 4 => shop.postgres.kill().unwrap(),
            2 => shop.search.as_ref().unwrap().kill().unwrap(),
            _ => {}
        }
        // The other sinks go on, whatever is away.
        shop.feed_while(&mut live, &mut draws, 4);
        live.kill();
        match round {
            1 | 4 => shop.postgres.start_again().unwrap(),
            2 => shop.search.as_ref().unwrap().start_again().unwrap(),
            _ => {}
        }
    }
    let last = shop.start(2, &["--until-caught-up"]).ends().last();
    assert_eq!(last["lag"], 0, "{last}");
    assert_eq!(shop.topic(), shop.totals());
    assert_eq!(shop.table(), shop.orders);
    assert_eq!(shop.index(), shop.totals());
}

#[test]
fn a_start_needs_no_target_and_a_job_of_deliveries_alone_has_its_own_journal() {
    let mut draws = draws(env!("CARGO_PKG_NAME"), "deliveries");
    let mut shop = Shop::new(&[TABLE]);
    shop.feed(&mut draws, 3_000);
    let mut live = shop.start(2, &[]);
    live.wait_for("a checkpoint", |status| {
        status["checkpoint_epoch"].as_u64() > Some(0)
    });
    shop.postgres.kill().unwrap();
    shop.feed(&mut draws, 1_000);
    live.wait_for("the end of its input", |status| {
        status["state"] == "caught_up"
    });
    live.kill();
    shop.feed(&mut draws, 1_000);
    let mut live = shop.start(1, &[]);
    live.wait_for("the end of its input", |status| {
        status["state"] == "caught_up"
    });
    shop.postgres.start_again().unwrap();
    assert_eq!(live.stop().code, Some(0));
    shop.start(2, &["--until-caught-up"]).ends().good();
    assert_eq!(shop.table(), shop.orders);
}

#[test]
fn what_a_table_does_not_take_is_a_dead_letter_and_a_wrong_table_is_refused_at_once() {
    let mut draws = draws(env!("CARGO_PKG_NAME"), "deliveries");
    let mut shop = Shop::new(&[TABLE]);
    let sql = "CREATE TABLE orders (id bigint PRIMARY KEY, region text CHECK (region <> 'region 3'), amount text)";
    let mut client = shop.client();
    client.batch_execute(sql).unwrap();
    shop.feed(&mut draws, 500);
    let refused = shop.start(1, &[]).ends().failed_with(2);
    assert!(refused.contains("\"amount\""), "{refused}");
    let cure = "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(18, 2) USING amount::numeric";
    client.batch_execute(cure).unwrap();
    shop.start(1, &["--until-caught-up"]).ends().good();
    shop.orders.retain(|_, (region, _)| region != "region 3");
    let table = shop.table();
    for (id, order) in &shop.orders {
        assert_eq!(table.get(id), Some(order));
    }
    let (sql, state) = (shop.path("shop.sql"), shop.path("state"));
    let letters = [
        "dead-letters",
        "list",
        text(&sql),
        "--name",
        "shop",
        "--state-dir",
        text(&state),
    ];
    let listed = call(shop.with_environment(tidemill(&letters))).good();
    assert!(listed.contains("the target does not take it"), "{listed}");
}
