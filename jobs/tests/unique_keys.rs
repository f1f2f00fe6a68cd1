//! Which sinks keep their rows: those for whose key no proof was found that it tells the rows apart. The queries are
//! over the shared declarations. Whether a sink that keeps rows is right, the operator's oracle says.

mod common;

use tidemill_jobs::Profile;

const DECLARATIONS: &str = include_str!("jobs/declarations.sql");

fn shares_keys(key: &str, query: &str) -> bool {
    let sink =
        format!("CREATE SINK o WITH (connector = 'files', topic = 't', key = '{key}') AS {query}");
    let sql = format!("{DECLARATIONS}{sink}");
    let plan = common::plan("job", &sql, &Profile::default(), &|_| None)
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    plan.sinks[0].shares_keys
}

fn wrong(queries: &[(&str, &str)], shares: bool) -> Vec<String> {
    let wrong = queries
        .iter()
        .filter(|(key, query)| shares_keys(key, query) != shares);
    wrong
        .map(|(key, query)| format!("{key}: {query}"))
        .collect()
}

#[test]
fn a_key_that_tells_the_rows_apart_is_proven() {
    assert_eq!(wrong(UNIQUE, false), Vec::<String>::new());
}

#[test]
fn a_key_that_rows_may_share_is_not() {
    assert_eq!(wrong(SHARED, true), Vec::<String>::new());
}

const DAYS: &str = "TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY))";

#[test]
fn a_window_is_told_by_either_end_and_only_by_its_own() {
    let days = |key: &str, columns: &str, group: &str| {
        let query = format!("SELECT {columns}, count(*) AS n FROM {DAYS} GROUP BY {group}");
        shares_keys(key, &query)
    };
    assert!(!days(
        "region, window_start",
        "region, window_start",
        "region, window_start"
    ));
    assert!(!days(
        "region, window_start",
        "region, window_start",
        "region, window_start, window_end"
    ));
    assert!(!days(
        "region, day",
        "region, window_end AS day",
        "region, window_start, window_end"
    ));
    assert!(days(
        "region",
        "region, window_start",
        "region, window_start"
    ));
    assert!(days(
        "window_start",
        "region, window_start",
        "region, window_start"
    ));
    let rows = |key: &str| shares_keys(key, &format!("SELECT id, ts, window_start FROM {DAYS}"));
    assert!(!rows("id") && rows("window_start"));
    let two = |key: &str| {
        let query = format!(
            "SELECT a.window_start AS s, b.window_end AS e, a.region, count(*) AS n
             FROM {DAYS} AS a JOIN {DAYS} AS b ON a.customer_id = b.id GROUP BY a.window_start, b.window_end, a.region"
        );
        shares_keys(key, &query)
    };
    assert!(!two("s, e, region") && two("s, region") && two("e, region"));
}

const UNIQUE: &[(&str, &str)] = &[
    ("id", "SELECT id, amount FROM orders"),
    ("id, region", "SELECT id, region FROM orders"),
    (
        "key",
        "SELECT amount, id AS key FROM orders WHERE amount > 1",
    ),
    ("a", "SELECT id AS a, id AS b FROM orders"),
    ("b", "SELECT id AS a, id AS b FROM orders"),
    (
        "region",
        "SELECT region, sum(amount) AS total FROM orders GROUP BY region",
    ),
    (
        "total, region",
        "SELECT region, sum(amount) AS total FROM orders GROUP BY region HAVING sum(amount) > 1",
    ),
    ("n", "SELECT count(*) AS n FROM orders"),
    (
        "region, name",
        "SELECT DISTINCT region, name FROM orders JOIN customers ON customers.id = orders.customer_id",
    ),
    ("region", "SELECT region FROM orders GROUP BY region"),
    ("id", "SELECT id FROM orders UNION SELECT id FROM customers"),
    ("id", "SELECT DISTINCT id, region FROM orders"),
    // Each order meets one customer at most.
    (
        "id",
        "SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id",
    ),
    (
        "id",
        "SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id",
    ),
    (
        "id",
        "SELECT o.id, c.name FROM customers c RIGHT JOIN orders o ON c.id = o.customer_id",
    ),
    (
        "id",
        "SELECT o.id, c.name FROM customers c JOIN orders o ON c.id = o.customer_id WHERE c.level > 1",
    ),
    (
        "id",
        "SELECT o.id, c.name, d.level FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN customers d ON d.id = o.customer_id",
    ),
    (
        "id",
        "SELECT o.id, a.name, b.level FROM orders o JOIN customers a ON a.id = o.customer_id JOIN (SELECT level, count(*) AS n FROM customers GROUP BY level) b ON b.level = a.level",
    ),
    // Keys of both sides.
    (
        "a, b",
        "SELECT x.id AS a, y.id AS b FROM orders x JOIN orders y ON x.customer_id = y.customer_id",
    ),
    (
        "a, b",
        "SELECT x.id AS a, y.id AS b FROM orders x LEFT JOIN orders y ON x.customer_id = y.customer_id",
    ),
    (
        "a, b",
        "SELECT x.id AS a, y.id AS b FROM orders x FULL JOIN orders y ON x.customer_id = y.customer_id",
    ),
    // A column that is equal to a key.
    (
        "order_id",
        "SELECT s.order_id, o.amount FROM orders o JOIN (SELECT customer_id AS order_id, count(*) AS n FROM orders GROUP BY customer_id) s ON s.order_id = o.id",
    ),
    (
        "customer_id",
        "SELECT o.customer_id, o.total, c.name FROM (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id) o LEFT JOIN customers c ON c.id = o.customer_id",
    ),
    // The group has a column that follows from the key.
    (
        "id",
        "SELECT o.id, o.region, count(*) AS n FROM orders o JOIN customers c ON c.name = o.region GROUP BY o.id, o.region",
    ),
    (
        "id",
        "SELECT c.id, c.name, sum(o.amount) AS total FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.id, c.name",
    ),
    (
        "id",
        "SELECT id, tens, count(*) AS n FROM (SELECT id, id / 10 AS tens FROM orders) AS x GROUP BY id, tens",
    ),
    (
        "id",
        "SELECT o.customer_id AS id, c.name, count(*) AS n FROM orders o LEFT JOIN customers c ON c.id = o.customer_id GROUP BY o.customer_id, c.name",
    ),
];

const SHARED: &[(&str, &str)] = &[
    ("region", "SELECT id, region FROM orders"),
    ("id", "SELECT id / 10 AS id FROM orders"),
    ("id", "SELECT customer_id AS id FROM orders"),
    ("region", "SELECT region, customer_id, count(*) AS n FROM orders GROUP BY region, customer_id"),
    ("region", "SELECT DISTINCT region, id FROM orders"),
    ("id", "SELECT id, amount FROM orders UNION ALL SELECT id, level FROM customers"),
    ("n", "SELECT region, count(*) AS n FROM orders GROUP BY region"),
    // A customer has many orders.
    ("id", "SELECT c.id, o.amount FROM orders o JOIN customers c ON c.id = o.customer_id"),
    ("id", "SELECT c.id, o.amount FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id"),
    ("id", "SELECT o.id, c.name FROM orders o JOIN customers c ON c.name = o.region"),
    ("id", "SELECT o.id, c.name, d.level FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN customers d ON d.level = o.quantity"),
    // What an outer join pads is null in every row.
    ("id", "SELECT c.id, o.amount FROM orders o LEFT JOIN customers c ON c.id = o.customer_id"),
    ("id", "SELECT o.id, c.name FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id"),
    ("id", "SELECT o.id, c.name FROM orders o FULL JOIN customers c ON c.id = o.customer_id"),
    ("c", "SELECT s.c, o.amount FROM orders o LEFT JOIN (SELECT customer_id AS c, count(*) AS n FROM orders GROUP BY customer_id) s ON s.c = o.id"),
    ("a, b", "SELECT x.c AS a, y.c AS b
              FROM (SELECT customer_id AS c, max(quantity) AS q FROM orders GROUP BY customer_id) x
              FULL JOIN (SELECT customer_id AS c, max(quantity) AS q FROM orders GROUP BY customer_id) y ON x.q = y.q"),
    ("q", "SELECT s.q, s.n, count(*) AS times FROM orders o
           LEFT JOIN (SELECT region AS q, max(customer_id) AS n FROM orders GROUP BY region) s ON s.n = o.id GROUP BY s.q, s.n"),
    ("id", "SELECT c.id, o.region, count(*) AS n FROM orders o LEFT JOIN customers c ON c.id = o.customer_id GROUP BY c.id, o.region"),
    ("id", "SELECT c.id, c.name, o.quantity, count(*) AS n FROM orders o LEFT JOIN customers c ON c.id = o.customer_id GROUP BY c.id, c.name, o.quantity"),
    // A stream's event is not told by its key.
    ("id, change_type", "SELECT s.id, s.change_type, c.name FROM order_changes s LEFT JOIN customers c ON c.id = s.customer_id"),
];
