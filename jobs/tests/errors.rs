//! What is refused, word for word and with its place. A query here stands in a sink after the shared declarations; its first line is
//! written `q`: `q:12` is column 12 of it.

mod common;

use tidemill_jobs::Profile;

const DECLARATIONS: &str = include_str!("jobs/declarations.sql");

fn refusal(sql: &str) -> String {
    match common::plan("job", sql, &Profile::default(), &|_| None) {
        Ok(plan) => panic!("was planned: {sql}\n{plan}"),
        Err(error) => error.to_string(),
    }
}

/// The refusal of a query in a sink, with `q` in place of the line that it stands on.
fn of_query(query: &str) -> String {
    let sink = "CREATE SINK o WITH (connector = 'files', topic = 't', key = 'id') AS\n";
    let line = DECLARATIONS.lines().count() + 2;
    refusal(&format!("{DECLARATIONS}{sink}{query}"))
        .replace(&format!("{line}:"), "q:")
        .replace(&format!("{}:", line + 1), "q+1:")
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

#[test]
fn values_with_others_in_them_are_in_no_key() {
    let tables = "CREATE SOURCE s (id BIGINT, a STRUCT<x INT>) WITH (connector = 'x', topic = 't');
CREATE TABLE t (PRIMARY KEY (id)) FROM s;\n";
    let refused = |query: &str, key: &str| {
        let sink = format!("CREATE SINK o WITH (connector = 'x', topic = 'o', key = '{key}') AS\n");
        refusal(&format!("{tables}{sink}{query}"))
    };
    let instead = "take a value in it, such as address.city or tags[1], or of a source a column FROM 'address.city'";
    for (query, key, expected) in [
        (
            "SELECT id, a FROM t",
            "a",
            "3:51: the key column 'a', which is STRUCT<x INT>, is",
        ),
        (
            "SELECT a, count(*) AS id FROM t GROUP BY a",
            "id",
            "4:42: GROUP BY 'a', which is STRUCT<x INT>, is",
        ),
        (
            "SELECT t.id FROM t JOIN t AS u ON t.a = u.a",
            "id",
            "4:35: a join on 'a', which is STRUCT<x INT>, is",
        ),
        (
            "SELECT id, max(a) AS m FROM t GROUP BY id",
            "id",
            "4:16: an aggregate of 'a', which is STRUCT<x INT>, is",
        ),
        (
            "SELECT id, count(DISTINCT a) AS m FROM t GROUP BY id",
            "id",
            "4:27: an aggregate of 'a', which is STRUCT<x INT>, is",
        ),
    ] {
        assert_eq!(
            refused(query, key),
            format!("{expected} not supported; {instead}"),
            "{query}"
        );
    }
}

#[test]
fn types_that_lie_in_one_another_without_end_are_refused() {
    for (of, depth) in [("ARRAY<", 10_000), ("STRUCT<a ", 33), ("MAP<VARCHAR, ", 33)] {
        let sql = format!("CREATE SOURCE s (a {}INT", of.repeat(depth));
        let error = refusal(&sql);
        assert!(
            error.contains("more than 32 types lie in one another; flatten them"),
            "{error}"
        );
    }
    let error = refusal(&format!("CREATE SOURCE s (a INT{}", "[]".repeat(100)));
    assert!(
        error.contains("more than 32 types lie in one another; flatten them"),
        "{error}"
    );
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better where it is called"
)]
fn compare(refusals: Vec<(&str, &str, String)>) {
    let differing = refusals.iter().filter(|(_, expected, now)| now != expected);
    let report: Vec<_> = differing
        .map(|(sql, expected, now)| format!("{sql}\n  expected {expected}\n  was      {now}"))
        .collect();
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

const QUERIES: &[(&str, &str)] = &[
    (
        "SELECT id FROM orders ORDER BY id",
        "q:23: ORDER BY of a changing result is not supported; sort where the sink is read",
    ),
    (
        "SELECT id FROM orders LIMIT 5",
        "q:23: LIMIT is not supported; supported are SELECT with WHERE, equi-joins, GROUP BY, HAVING, DISTINCT, UNION [ALL], views and WITH",
    ),
    (
        "SELECT id FROM orders FETCH FIRST 5 ROWS ONLY",
        "q:23: FETCH is not supported; supported are SELECT with WHERE, equi-joins, GROUP BY, HAVING, DISTINCT, UNION [ALL], views and WITH",
    ),
    (
        "SELECT id, row_number() OVER (PARTITION BY region) AS n FROM orders",
        "q:12: 'row_number' with OVER is not supported; use GROUP BY, over TUMBLE for a window of time",
    ),
    (
        "SELECT id, sum(amount) OVER (PARTITION BY region) AS n FROM orders",
        "q:12: 'sum' with OVER is not supported; use GROUP BY, over TUMBLE for a window of time",
    ),
    (
        "SELECT o.id FROM orders o CROSS JOIN customers c",
        "q:48: a join without equal columns (a cross join) is not supported; join on equal columns: ON left.column = right.column",
    ),
    (
        "SELECT o.id FROM orders o, customers c",
        "q:38: a join without equal columns (a cross join) is not supported; join on equal columns: ON left.column = right.column",
    ),
    (
        "SELECT o.id FROM orders o JOIN customers c ON o.quantity > c.level",
        "q:47: a join without equal columns (a cross join) is not supported; join on equal columns: ON left.column = right.column",
    ),
    (
        "SELECT o.id FROM orders o LEFT JOIN customers c ON o.customer_id = c.id AND o.quantity > c.level",
        "q:77: an outer join on more than equal columns is not supported; keep equalities in ON, and filter a side in a subquery before the join",
    ),
    (
        "SELECT o.id FROM orders o LEFT JOIN customers c ON o.customer_id = c.id AND o.quantity > 5",
        "q:77: an outer join on more than equal columns is not supported; keep equalities in ON, and filter a side in a subquery before the join",
    ),
    (
        "SELECT o.id FROM orders o LEFT SEMI JOIN customers c ON o.customer_id = c.id",
        "q:42: this kind of join is not supported; use [INNER], LEFT, RIGHT or FULL JOIN … ON",
    ),
    (
        "SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id)",
        "q:39: a subquery in an expression is not supported; join the subquery instead: JOIN (SELECT …) AS s ON …",
    ),
    (
        "SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers)",
        "q:29: a subquery in an expression is not supported; join the subquery instead: JOIN (SELECT …) AS s ON …",
    ),
    (
        "SELECT id, (SELECT max(level) FROM customers) AS top FROM orders",
        "q:13: a subquery in an expression is not supported; join the subquery instead: JOIN (SELECT …) AS s ON …",
    ),
    (
        "SELECT id FROM orders WHERE amount > ANY (SELECT level FROM customers)",
        "q:29: ANY or ALL is not supported; use IN (…) with values, or a join",
    ),
    (
        "SELECT id, now() AS t FROM orders",
        "q:12: 'now', whose result depends on more than its arguments, is not supported; replay must give the same rows: take time and identity from the event, such as METADATA FROM 'ts'",
    ),
    (
        "SELECT id, random() AS t FROM orders",
        "q:12: 'random', whose result depends on more than its arguments, is not supported; replay must give the same rows: take time and identity from the event, such as METADATA FROM 'ts'",
    ),
    (
        "SELECT id, uuid() AS t FROM orders",
        "q:12: 'uuid', whose result depends on more than its arguments, is not supported; replay must give the same rows: take time and identity from the event, such as METADATA FROM 'ts'",
    ),
    (
        "SELECT id, CURRENT_DATE AS t FROM orders",
        "q:12: 'current_date', whose result depends on more than its arguments, is not supported; replay must give the same rows: take time and identity from the event, such as METADATA FROM 'ts'",
    ),
    (
        "SELECT id FROM orders EXCEPT SELECT id FROM customers",
        "q:23: EXCEPT is not supported; use UNION, UNION ALL or joins",
    ),
    (
        "SELECT id FROM orders INTERSECT SELECT id FROM customers",
        "q:23: INTERSECT is not supported; use UNION, UNION ALL or joins",
    ),
    (
        "SELECT DISTINCT ON (region) id FROM orders",
        "q:8: DISTINCT ON is not supported; use DISTINCT or GROUP BY",
    ),
    (
        "SELECT region AS id, stddev(amount) AS d FROM orders GROUP BY region",
        "q:22: unknown function 'stddev'; docs/sql.md lists the scalar functions, and the aggregates are sum, count, avg, min and max",
    ),
    (
        "SELECT region AS id, sum(amount) AS d FROM orders GROUP BY ROLLUP (region)",
        "q:68: GROUP BY with ROLLUP, CUBE or GROUPING SETS is not supported; use one GROUP BY per sink",
    ),
    (
        "SELECT region AS id, sum(amount) AS d FROM orders GROUP BY ALL",
        "q:51: GROUP BY ALL is not supported; name the columns",
    ),
    (
        "SELECT 1 AS id",
        "q:1: SELECT without FROM is not supported; read a table, a stream or a view",
    ),
    (
        "VALUES (1)",
        "q:1: this kind of query is not supported; supported are SELECT with WHERE, equi-joins, GROUP BY, HAVING, DISTINCT, UNION [ALL], views and WITH",
    ),
    (
        "WITH RECURSIVE r AS (SELECT 1 AS id) SELECT id FROM r",
        "q:1: WITH RECURSIVE is not supported; supported are SELECT with WHERE, equi-joins, GROUP BY, HAVING, DISTINCT, UNION [ALL], views and WITH",
    ),
    (
        "SELECT id, amuont FROM orders",
        "q:12: unknown column 'amuont'; did you mean 'amount'?",
    ),
    (
        "SELECT id,\n       o.amuont FROM orders o",
        "q+1:8: unknown column 'o.amuont'; did you mean 'amount'?",
    ),
    (
        "SELECT id FROM orders o JOIN customers c ON o.customer_id = c.id",
        "q:8: 'id' is ambiguous; write the table before it, as in t.id",
    ),
    (
        "SELECT id FROM order",
        "q:16: unknown table 'order'; did you mean 'orders'?",
    ),
    (
        "SELECT id FROM oders",
        "q:16: unknown table 'oders'; did you mean 'orders'?",
    ),
    (
        "SELECT id FROM order_events",
        "q:16: 'order_events' is a source, which cannot be queried; declare CREATE TABLE … FROM order_events or CREATE STREAM … FROM order_events",
    ),
    (
        "SELECT id, lenght(region) AS n FROM orders",
        "q:12: unknown function 'lenght'; did you mean 'length'?",
    ),
    (
        "SELECT id, region FROM orders GROUP BY id",
        "q:12: 'orders.region' must appear in GROUP BY clause because it's not an aggregate expression",
    ),
    (
        "SELECT id, sum(region) AS n FROM orders GROUP BY id",
        "q:12: function 'sum' failed to match any signature",
    ),
    (
        "SELECT id, amount + region FROM orders WHERE",
        "q:45: expected an expression, found the end of the statement",
    ),
    (
        "SELECT id, make_array(id) AS n FROM orders",
        "q:12: unknown function 'make_array'; docs/sql.md lists the scalar functions, and the aggregates are sum, count, avg, min and max",
    ),
    (
        "SELECT id, placed_at - ts AS n FROM orders",
        "q:12: the type Duration(ms) of column 'n' is not supported; cast it to BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL, VARCHAR, DATE or TIMESTAMP",
    ),
    (
        "SELECT o.id, c.id FROM orders o JOIN customers c ON o.customer_id = c.id",
        "q:1: two columns are named 'id'; give one of them another name with AS",
    ),
    (
        "SELECT id FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY))",
        "q:22: the table function 'HOP' is not supported; use FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' DAY))",
    ),
    (
        "SELECT id FROM TUMBLE(orders, ts, INTERVAL '1' DAY)",
        "q:16: the table function 'TUMBLE' is not supported; the one there is: FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' DAY))",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(placed_at), INTERVAL '1' DAY))",
        "q:54: TUMBLE over 'placed_at' needs a watermark on that column, but source 'order_events' has its on 'ts'",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE customers, DESCRIPTOR(ts), INTERVAL '1' DAY))",
        "q:57: TUMBLE over 'ts' needs a watermark; add to source 'customer_events': WATERMARK FOR ts AS ts - INTERVAL '5' SECOND",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(tss), INTERVAL '1' DAY))",
        "q:54: unknown column 'tss'; did you mean 'ts'?",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MONTH))",
        "q:68: INTERVAL '1' MONTH is no length of time; expected a whole number and a unit of millisecond, second, minute, hour, day or week, such as '5 second'",
    ),
    (
        "SELECT id FROM TABLE(TUMBLE(TABLE nothing, DESCRIPTOR(ts), INTERVAL '1' DAY))",
        "q:35: unknown table 'nothing'; there are 'customer_changes', 'customers', 'order_changes', 'orders', 'tidemill_dead_letters', 'tidemill_late'",
    ),
    (
        "SELECT customer_id AS id, sum(amount) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY customer_id",
        "q:120: an aggregate over TUMBLE that does not group by 'window_start' or 'window_end' is not supported; add GROUP BY …, window_start, window_end, or read the table without TUMBLE",
    ),
    (
        "SELECT window_end AS id, max(amount) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_end",
        "q:30: MIN or MAX over a window is not supported; windows have sum, count and avg of exact numbers",
    ),
    (
        "SELECT window_end AS id, sum(weight) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_end",
        "q:30: a sum or average of DOUBLE over a window is not supported; cast it to DECIMAL",
    ),
    (
        "SELECT window_end AS id, count(DISTINCT region) AS s FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_end",
        "q:41: DISTINCT in an aggregate over a window is not supported; select DISTINCT rows before the window",
    ),
    (
        "SELECT s.id FROM order_changes s JOIN customer_changes c ON c.id = s.customer_id",
        "q:68: a join of two streams, which must keep every event of both for ever, is not supported; join a TABLE, or what GROUP BY makes of one of the streams",
    ),
    (
        "SELECT s.id FROM order_changes s JOIN customers c ON c.id = s.customer_id LEFT JOIN tidemill_dead_letters d ON d.topic = c.name",
        "q:122: a join of two streams, which must keep every event of both for ever, is not supported; join a TABLE, or what GROUP BY makes of one of the streams",
    ),
    (
        "SELECT a.id FROM TABLE(TUMBLE(TABLE order_changes, DESCRIPTOR(ts), INTERVAL '1' DAY)) AS a
         JOIN (SELECT id FROM orders UNION ALL SELECT id FROM customer_changes) AS b ON a.id = b.id",
        "q+1:89: a join of two streams, which must keep every event of both for ever, is not supported; join a TABLE, or what GROUP BY makes of one of the streams",
    ),
    (
        "SELECT * FROM tidemill_late",
        "q:15: 'tidemill_late' is empty: no stream with RESEQUENCE BY reaches a sink of this job",
    ),
];

const STATEMENTS: &[(&str, &str)] = &[
    (
        "",
        "1:1: the job has no sink; add CREATE SINK … AS SELECT …",
    ),
    (
        "SELECT 1",
        "1:1: expected CREATE SOURCE, CREATE TABLE, CREATE STREAM, CREATE VIEW or CREATE SINK, found 'SELECT'",
    ),
    (
        "CREATE INDEX i",
        "1:8: expected CREATE SOURCE, CREATE TABLE, CREATE STREAM, CREATE VIEW or CREATE SINK, found 'INDEX'",
    ),
    (
        "CREATE SOURCE s (id BIGINT",
        "1:27: expected ')', found the end of the statement",
    ),
    (
        "CREATE SOURCE s (id MONEY) WITH (connector = 'x', envelope = 'crud')",
        "1:21: unknown type 'money'; use BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), VARCHAR, DATE, TIMESTAMP, UUID, ARRAY<type>, STRUCT<name type, …> or MAP<VARCHAR, type>",
    ),
    (
        "CREATE SOURCE s (a STRUCT<x INT, x DATE>) WITH (connector = 'x')",
        "1:34: the field 'x' is declared twice",
    ),
    (
        "CREATE SOURCE s (a MAP<INT, DATE>) WITH (connector = 'x')",
        "1:24: the keys of a MAP are VARCHAR, not INT: names of members are texts; write MAP<VARCHAR, …>",
    ),
    (
        "CREATE SOURCE s (a ARRAY<ARRAY<INT>) WITH (connector = 'x')",
        "1:36: expected '>', found ')'",
    ),
    (
        "CREATE SOURCE s (a ARRAY<ARRAY<INT>>>) WITH (connector = 'x')",
        "1:37: expected ')', found '>'",
    ),
    (
        "CREATE SOURCE s (id BIGINT, a ARRAY<INT>) WITH (connector = 'x', topic = 't');
         CREATE TABLE t (PRIMARY KEY (id, a)) FROM s",
        "2:43: PRIMARY KEY 'a', which is ARRAY<INT>, is not supported; take a value in it, such as address.city or tags[1], or of a source a column FROM 'address.city'",
    ),
    (
        "CREATE SOURCE s (id BIGINT, a ARRAY<INT>) WITH (connector = 'x', topic = 't');
         CREATE STREAM t FROM s DEDUPLICATE BY a WITHIN INTERVAL '1' DAY",
        "2:48: DEDUPLICATE BY 'a', which is ARRAY<INT>, is not supported; take a value in it, such as address.city or tags[1], or of a source a column FROM 'address.city'",
    ),
    (
        "CREATE SOURCE s (id BIGINT, id INT) WITH (connector = 'x', envelope = 'crud')",
        "1:29: the column 'id' is declared twice",
    ),
    (
        "CREATE SOURCE s (a DECIMAL(40, 2)) WITH (connector = 'x', envelope = 'crud')",
        "1:27: DECIMAL(40, 2) is out of range: 1 to 38 digits, at most all of them after the point",
    ),
    (
        "CREATE SOURCE s (a BIGINT METADATA FROM 'kind') WITH (connector = 'x', envelope = 'crud')",
        "1:41: unknown metadata field 'kind'; envelope 'crud' has 'uuid', 'type', 'ts', 'entity', 'id', 'partition', 'offset', 'topic', 'timestamp', 'key', 'headers.*'",
    ),
    (
        "CREATE SOURCE s (a BIGINT METADATA FROM 'uuid') WITH (connector = 'x', envelope = 'crud')",
        "1:41: the metadata field 'uuid' can be read as UUID or VARCHAR only; declare it so, and cast it in the query",
    ),
    (
        "CREATE SOURCE s (a DATE METADATA FROM 'id') WITH (connector = 'x', envelope = 'crud')",
        "1:39: the metadata field 'id' can be read as BIGINT, INT, VARCHAR or UUID only; declare it so, and cast it in the query",
    ),
    (
        "CREATE SOURCE s (a BIGINT)",
        "1:15: source 's' has no connector; add connector = '…' to its WITH",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', connector = 'y', envelope = 'crud')",
        "1:51: the option 'connector' is given twice",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', format = 'xml', envelope = 'crud')",
        "1:51: unknown format 'xml'; there are 'json', 'csv', 'avro', 'protobuf', 'raw'",
    ),
    (
        "CREATE SOURCE s (a BIGINT, WATERMARK FOR a AS a - INTERVAL '5' SECOND) WITH (connector = 'x', envelope = 'crud')",
        "1:42: the watermark's column 'a' must be a TIMESTAMP",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR a AS a - INTERVAL 'soon' SECOND) WITH (connector = 'x', envelope = 'crud')",
        "1:63: INTERVAL 'soon' SECOND is no length of time; expected a whole number and a unit of millisecond, second, minute, hour, day or week, such as '5 second'",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR b AS b) WITH (connector = 'x', envelope = 'crud')",
        "1:45: unknown column 'b'; did you mean 'a'?",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR a AS a) WITH (connector = 'x', watermark.idle-timeout = 'long', envelope = 'crud')",
        "1:15: option 'watermark.idle-timeout' is 'long'; expected a whole number and a unit of millisecond, second, minute, hour, day or week, such as '5 second'",
    ),
    (
        "CREATE SOURCE s (a TIMESTAMP, WATERMARK FOR a AS a) WITH (connector = 'x', watermark.idle-timout = '1 s', envelope = 'crud')",
        "1:76: unknown option 'watermark.idle-timout'; did you mean 'watermark.idle-timeout'?",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', topic = 't', backfill.topic = 'u')",
        "1:64: 'backfill.topic' says how to read a history, and nothing says by which connector; add backfill.connector = '…'",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', topic = 't', backfill.connector = 'postgres')",
        "1:64: unknown connector 'postgres'; there are 'kafka', 'files', 'x'",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', topic = 't', backfill.connector = 'files', backfill.pth = 'u')",
        "1:94: unknown option 'backfill.pth'; did you mean 'backfill.path'?",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', watermark.x = '1 s', envelope = 'crud')",
        "1:51: unknown option 'watermark.x'",
    ),
    (
        "CREATE SOURCE s (a BIGINT, v VARCHAR) WITH (connector = 'x', envelope = 'crud');\nCREATE TABLE t (PRIMARY KEY (a)) FROM s VERSION BY v",
        "2:52: the version 'v' must be a BIGINT, INT, DATE or TIMESTAMP",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', envelope = 'crud');\nCREATE TABLE t (PRIMARY KEY (b)) FROM s",
        "2:30: unknown column 'b'; did you mean 'a'?",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', envelope = 'crud');\nCREATE TABLE t (PRIMARY KEY (a)) FROM z",
        "2:39: unknown source 'z'; did you mean 's'?",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', envelope = 'crud');\nCREATE TABLE t (PRIMARY KEY (a)) FROM s ORDER BY a",
        "2:41: expected DEDUPLICATE BY, VERSION BY, TOMBSTONES FOR or the end of the statement, found 'ORDER'",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', envelope = 'crud');\nCREATE TABLE s (PRIMARY KEY (a)) FROM s",
        "2:14: 's' is declared twice",
    ),
    (
        "CREATE SOURCE s (a BIGINT, t TIMESTAMP) WITH (connector = 'x', envelope = 'crud');\nCREATE STREAM c FROM s RESEQUENCE BY t PER a WITHIN INTERVAL '5' SECOND",
        "2:38: RESEQUENCE BY 't' needs a watermark; add to source 's': WATERMARK FOR t AS t - INTERVAL '5' SECOND",
    ),
    (
        "CREATE SOURCE s (a BIGINT, change_type VARCHAR) WITH (connector = 'x', envelope = 'crud');\nCREATE STREAM c FROM s",
        "2:22: a stream has a column 'change_type' of its own; rename 'change_type' of source 's'",
    ),
    (
        "CREATE SOURCE tidemill_late (a BIGINT) WITH (connector = 'x', envelope = 'crud')",
        "1:15: names that begin with 'tidemill_' are taken; choose another",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'it''s); CREATE",
        "1:46: unterminated string literal",
    ),
    (
        "CREATE SOURCE s (a BIGINT) WITH (connector = 'x', envelope = 'crud')",
        "1:1: the job has no sink; add CREATE SINK … AS SELECT …",
    ),
    (
        "CREATE SINK o WITH (connector = 'x') AS SELECT * FROM tidemill_dead_letters",
        "1:41: no source reaches a sink; read a table or a stream",
    ),
];

const SINKS: &[(&str, &str)] = &[
    (
        "CREATE SINK o WITH (connector = 'postgres', table = 't', format = 'csv') AS SELECT id FROM orders",
        "q:58: unknown format 'csv'; there are 'json'",
    ),
    (
        "CREATE SINK o WITH (connector = 'postgres', table = 't', key = 'id', envelope = 'debezium') AS SELECT id FROM orders",
        "q:70: envelope 'debezium' tells what happened to a row, and a target has the row; use 'upsert' or 'plain'",
    ),
    (
        "CREATE SINK o WITH (connector = 'postgres', table = 't', key = 'id', headers = 'region') AS SELECT id, region FROM orders",
        "q:70: what is delivered has no headers; leave it a column, without this option",
    ),
    (
        "CREATE SINK o WITH (connector = 'postgres', table = 't', key = 'id') AS SELECT id FROM orders; CREATE SINK p WITH (connector = 'postgres', table = 't', key = 'id') AS SELECT id FROM orders",
        "q:108: sinks 'o' and 'p' write to one place, 't'; give each its own, or UNION ALL their queries in one",
    ),
    (
        "CREATE SINK o WITH (topic = 't') AS SELECT id FROM orders",
        "q:13: sink 'o' has no connector; add connector = '…' to its WITH",
    ),
    (
        "CREATE SINK o WITH (connector = 'files') AS SELECT id FROM orders",
        "q:13: sink 'o' appends, but its rows change after they are written; give it a key, and no envelope = 'plain'",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', envelope = 'plain', key = 'id') AS SELECT id FROM orders",
        "q:13: sink 'o' appends, but its rows change after they are written; give it a key, and no envelope = 'plain'",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', envelope = 'upsert') AS SELECT id FROM orders",
        "q:13: sink 'o' has envelope 'upsert' but no key; add key = 'column, …' to its WITH",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', envelope = 'merge') AS SELECT id FROM orders",
        "q:42: unknown envelope 'merge'; there are 'plain', 'upsert', 'debezium'",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'ids') AS SELECT id FROM orders",
        "q:42: unknown key column 'ids'; did you mean 'id'?",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', headers = 'amounts') AS SELECT id, amount FROM orders",
        "q:54: unknown header 'amounts'; did you mean 'amount'?",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', headers = 'id') AS SELECT id, amount FROM orders",
        "q:54: 'id' is of the key, which is in the value as well; SELECT it twice, and name the second one here",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', headers = 'amount, amount') AS SELECT id, amount FROM orders",
        "q:54: 'amount' stands among the headers twice",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', headers = 'tidemill-epoch') AS SELECT id, amount AS \"tidemill-epoch\" FROM orders",
        "q:54: headers that begin with 'tidemill-' are taken; give 'tidemill-epoch' another name by AS",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', headers = 'amount') AS SELECT amount FROM order_changes",
        "q:42: no column is left for the value; leave one out, or SELECT one twice, under another name",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', timestamp = 'amount') AS SELECT id, amount FROM orders",
        "q:54: 'amount' is the time of records and no TIMESTAMP; CAST it",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', timestamp = 'placed') AS SELECT id, amount FROM orders",
        "q:54: unknown timestamp column 'placed'; there are 'id', 'amount'",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id') AS SELECT id FROM order_changes",
        "q:13: sink 'o' writes the state of each key, but a stream of events has many rows per key; use envelope = 'plain', or read a TABLE",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', format = 'xml') AS SELECT id FROM orders",
        "q:54: unknown format 'xml'; there are 'json', 'csv', 'avro', 'protobuf', 'raw'",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', key = 'id', watermark.idle-timeout = '1 s') AS SELECT id FROM orders",
        "q:54: unknown option 'watermark.idle-timeout'",
    ),
    (
        "CREATE SINK o WITH (connector = 'files', path = 'd/', topic = 't', key = 'id') AS SELECT id FROM orders; CREATE SINK p WITH (connector = 'files', path = 'd', topic = '${TOPIC:-t}') AS SELECT id FROM order_changes",
        "q:118: sinks 'o' and 'p' write to one place, 't'; give each its own, or UNION ALL their queries in one",
    ),
    (
        "CREATE SINK orders WITH (connector = 'files', key = 'id') AS SELECT id FROM orders",
        "q:13: 'orders' is declared twice",
    ),
];
