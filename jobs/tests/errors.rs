//! What is refused, word for word and with its place. A query here stands on the first line of its own text, after the shared declarations, so
//! that lines are counted from it: place `q:c` is line `c` of the query.

use tidemill_jobs::{Profile, plan_job_in};

const DECLARATIONS: &str = include_str!("jobs/declarations.sql");

fn refusal(sql: &str) -> String {
    match plan_job_in("job", sql, &Profile::default(), &|_| None) {
        Ok(plan) => panic!("was planned: {sql}\n{plan}"),
        Err(error) => error.to_string(),
    }
}

/// The refusal of a query in a sink, with `q` in place of the line that it stands on.
fn of_query(query: &str) -> String {
    let sink = "CREATE SINK o WITH (connector = 'files', topic = 't', key = 'id') AS\n";
    let lines = DECLARATIONS.lines().count() + 2;
    refusal(&format!("{DECLARATIONS}{sink}{query}")).replace(&format!("{lines}:"), "q:")
}

#[test]
fn queries_that_a_changing_result_cannot_answer_are_refused_with_their_place() {
    let differing = QUERIES
        .iter()
        .map(|(query, expected)| (*query, *expected, of_query(query)));
    compare(differing.collect());
}

#[test]
fn declarations_that_contradict_are_refused_with_their_place() {
    compare(
        STATEMENTS
            .iter()
            .map(|(sql, expected)| (*sql, *expected, refusal(sql)))
            .collect(),
    );
}

#[test]
fn sinks_that_cannot_write_their_rows_are_refused() {
    let line = format!("{}:", DECLARATIONS.lines().count() + 1);
    let refused = |sink: &str| refusal(&format!("{DECLARATIONS}{sink}")).replace(&line, "q:");
    compare(
        SINKS
            .iter()
            .map(|(sink, expected)| (*sink, *expected, refused(sink)))
            .collect(),
    );
}

fn compare(refusals: Vec<(&str, &str, String)>) {
    let differing = refusals.iter().filter(|(_, expected, now)| now != expected);
    let report: Vec<_> = differing
        .map(|(sql, expected, now)| format!("{sql}\n  expected {expected}\n  was      {now}"))
        .collect();
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

const QUERIES: &[(&str, &str)] = &[
    ("SELECT id FROM orders ORDER BY id", ""),
    ("SELECT id FROM orders LIMIT 5", ""),
    ("SELECT id FROM orders FETCH FIRST 5 ROWS ONLY", ""),
    (
        "SELECT id, row_number() OVER (PARTITION BY region) AS n FROM orders",
        "",
    ),
    (
        "SELECT id, sum(amount) OVER (PARTITION BY region) AS n FROM orders",
        "",
    ),
    ("SELECT o.id FROM orders o CROSS JOIN customers c", ""),
    ("SELECT o.id FROM orders o, customers c", ""),
    (
        "SELECT o.id FROM orders o JOIN customers c ON o.quantity > c.level",
        "",
    ),
    (
        "SELECT o.id FROM orders o LEFT JOIN customers c ON o.customer_id = c.id AND o.quantity > c.level",
        "",
    ),
    (
        "SELECT o.id FROM orders o LEFT JOIN customers c ON o.customer_id = c.id AND o.quantity > 5",
        "",
    ),
    (
        "SELECT o.id FROM orders o LEFT SEMI JOIN customers c ON o.customer_id = c.id",
        "",
    ),
    (
        "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id)",
        "",
    ),
    (
        "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers)",
        "",
    ),
    (
        "SELECT id, (SELECT max(level) FROM customers) AS top FROM orders",
        "",
    ),
    (
        "SELECT id FROM orders WHERE amount > ANY (SELECT level FROM customers)",
        "",
    ),
    ("SELECT id, now() AS t FROM orders", ""),
    ("SELECT id, random() AS t FROM orders", ""),
    ("SELECT id, uuid() AS t FROM orders", ""),
    ("SELECT id, CURRENT_DATE AS t FROM orders", ""),
    ("SELECT id FROM orders EXCEPT SELECT id FROM customers", ""),
    (
        "SELECT id FROM orders INTERSECT SELECT id FROM customers",
        "",
    ),
    ("SELECT DISTINCT ON (region) id FROM orders", ""),
    (
        "SELECT region AS id, stddev(amount) AS d FROM orders GROUP BY region",
        "",
    ),
    (
        "SELECT region AS id, sum(amount) AS d FROM orders GROUP BY ROLLUP (region)",
        "",
    ),
    (
        "SELECT region AS id, sum(amount) AS d FROM orders GROUP BY ALL",
        "",
    ),
    ("SELECT 1 AS id", ""),
    ("VALUES (1)", ""),
    ("WITH RECURSIVE r AS (SELECT 1 AS id) SELECT id FROM r", ""),
    ("SELECT id, amuont FROM orders", ""),
    ("SELECT id,\n       o.amuont FROM orders o", ""),
    (
        "SELECT id FROM orders o JOIN customers c ON o.customer_id = c.id",
        "",
    ),
    ("SELECT id FROM order", ""),
    ("SELECT id FROM oders", ""),
    ("SELECT id FROM order_events", ""),
    ("SELECT id, lenght(region) AS n FROM orders", ""),
    ("SELECT id, region FROM orders GROUP BY id", ""),
    ("SELECT id, sum(region) AS n FROM orders GROUP BY id", ""),
    ("SELECT id, amount + region FROM orders WHERE", ""),
    ("SELECT id, make_array(id) AS n FROM orders", ""),
    ("SELECT id, placed_at - ts AS n FROM orders", ""),
    (
        "SELECT o.id, c.id FROM orders o JOIN customers c ON o.customer_id = c.id",
        "",
    ),
    (
        "SELECT id FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY))",
        "",
    ),
    ("SELECT id FROM TUMBLE(orders, ts, INTERVAL '1' DAY)", ""),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(placed_at), INTERVAL '1' DAY))",
        "",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE customers, DESCRIPTOR(ts), INTERVAL '1' DAY))",
        "",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(tss), INTERVAL '1' DAY))",
        "",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MONTH))",
        "",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE nothing, DESCRIPTOR(ts), INTERVAL '1' DAY))",
        "",
    ),
    (
        "SELECT customer_id AS id, sum(amount) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY customer_id",
        "",
    ),
    (
        "SELECT window_end AS id, max(amount) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_end",
        "",
    ),
    (
        "SELECT window_end AS id, sum(weight) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_end",
        "",
    ),
    (
        "SELECT window_end AS id, count(DISTINCT region) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_end",
        "",
    ),
    ("SELECT * FROM tidemill_late", ""),
];

const STATEMENTS: &[(&str, &str)] = &[
    ("", ""),
    ("SELECT 1", ""),
    ("CREATE INDEX i", ""),
    ("CREATE SOURCE s (id BIGINT", ""),
    ("CREATE SOURCE s (id MONEY) WITH (connector = 'x')", ""),
    (
        "CREATE SOURCE s (id BIGINT, id INT) WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a DECIMAL(40, 2)) WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT METADATA FROM 'key') WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT METADATA FROM 'uuid') WITH (connector = 'x')",
        "",
    ),
    ("CREATE SOURCE s (a BIGINT)", ""),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', connector = 'y')",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', format = 'xml')",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT, WATERMARK FOR a AS a - INTERVAL '5' SECOND) WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR a AS a - INTERVAL 'soon' SECOND) WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR b AS b) WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR a AS a) WITH (connector = 'x', watermark.idle-timeout = 'long')",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x');\nCREATE TABLE t (PRIMARY KEY (b)) FROM s",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x');\nCREATE TABLE t (PRIMARY KEY (a)) FROM z",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x');\nCREATE TABLE t (PRIMARY KEY (a)) FROM s ORDER BY a",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x');\nCREATE TABLE s (PRIMARY KEY (a)) FROM s",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT, t TIMESTAMP) WITH (connector = 'x');\nCREATE STREAM c FROM s RESEQUENCE BY t PER a WITHIN INTERVAL '5' SECOND",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT, change_type VARCHAR) WITH (connector = 'x');\nCREATE STREAM c FROM s",
        "",
    ),
    (
        "CREATE SOURCE tidemill_late (a BIGINT) WITH (connector = 'x')",
        "",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'it''s); CREATE",
        "",
    ),
    ("CREATE SOURCE s (a BIGINT) WITH (connector = 'x')", ""),
    (
        "CREATE SINK o WITH (connector = 'x') AS SELECT * FROM tidemill_dead_letters",
        "",
    ),
];

const SINKS: &[(&str, &str)] = &[
    (
        "CREATE SINK o WITH (topic = 't') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', mode = 'append', key = 'id') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', mode = 'upsert') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', mode = 'merge') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'ids') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id') AS SELECT id FROM order_changes",
        "",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', format = 'avro') AS SELECT id FROM orders",
        "",
    ),
    (
        "CREATE SINK orders WITH (connector = 'files', key = 'id') AS SELECT id FROM orders",
        "",
    ),
];
