-- Names that collide, windows in views, filters that keep nothing or everything, parts of a union under a filter.
CREATE VIEW daily AS
SELECT region, window_start, window_end, sum(amount) AS total
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY region, window_start, window_end;
CREATE VIEW everything AS SELECT id, region FROM orders UNION ALL SELECT id, change_type FROM order_changes;
CREATE SINK over_windows WITH (connector = 'files', path = '/out', topic = 'a', key = 'region') AS
SELECT d.region, count(*) AS days, max(d.total) AS best FROM daily d JOIN customers c ON c.name = d.region GROUP BY d.region;
CREATE SINK under_a_filter WITH (connector = 'files', path = '/out', topic = 'b', key = 'kind') AS
SELECT upper(region) AS kind, count(*) AS n FROM everything WHERE id > 10 GROUP BY upper(region);
CREATE SINK hides_a_table WITH (connector = 'files', path = '/out', topic = 'c', key = 'n') AS
WITH orders AS (SELECT id AS n FROM customers) SELECT orders.* FROM orders WHERE TRUE;
CREATE SINK keeps_nothing WITH (connector = 'files', path = '/out', topic = 'd', key = 'id') AS SELECT id FROM orders WHERE 1 = 2;
CREATE SINK "Quoted" WITH (connector = 'files', path = '/out', topic = 'e', key = 'Id') AS SELECT id AS "Id" FROM orders /* a comment; */;
CREATE SINK inner_after_all WITH (connector = 'files', path = '/out', topic = 'f', key = 'id') AS
SELECT o.id, c.level FROM orders o LEFT JOIN customers c ON o.customer_id = c.id WHERE c.level > 5;
CREATE SINK counts_events WITH (connector = 'files', path = '/out', topic = 'g', key = 'n') AS SELECT count(*) AS n FROM order_changes;
CREATE SINK repeats_work WITH (connector = 'files', path = '/out', topic = 'h', key = 'id') AS
SELECT id, long || '!' AS a, long || '?' AS b FROM (SELECT id, repeat(region, 100) AS long FROM orders) AS x;
CREATE SINK distinct_windows WITH (connector = 'files', path = '/out', topic = 'i', key = 'window_end') AS
SELECT window_end, count(*) AS regions
FROM (SELECT DISTINCT region, window_end FROM TABLE(TUMBLE(TABLE order_changes, DESCRIPTOR(ts), INTERVAL '1' DAY))) AS x GROUP BY window_end;
