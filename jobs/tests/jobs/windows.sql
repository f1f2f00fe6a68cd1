-- Over a stream a window needs no image; the end of the window joins the group where only its start was named.
CREATE SINK by_start WITH (connector = 'files', path = '/out', topic = 'a', key = 'region, hour') AS
SELECT region, window_start AS hour, sum(amount) AS total, avg(amount) AS mean, count(*) AS orders
FROM TABLE(TUMBLE(TABLE order_changes, DESCRIPTOR(ts), INTERVAL '1' HOUR)) WHERE change_type = 'create'
GROUP BY region, window_start;
CREATE SINK joined WITH (connector = 'files', path = '/out', topic = 'b', key = 'name, window_end') AS
SELECT c.name, w.window_end, count(*) AS orders
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1 day')) AS w JOIN customers c ON c.id = w.customer_id
GROUP BY c.name, w.window_end;
CREATE SINK rows WITH (connector = 'files', path = '/out', topic = 'c', key = 'id') AS
SELECT id, window_start FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY));
