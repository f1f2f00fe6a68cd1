-- What a stream feeds into a join, an aggregate or DISTINCT gets an image; in a union with a table only the stream's part does.
CREATE SINK enriched WITH (connector = 'files', path = '/out', topic = 'a', key = 'id, change_type') AS
SELECT s.id, s.change_type, c.name FROM order_changes s LEFT JOIN customers c ON c.id = s.customer_id;
CREATE SINK counted WITH (connector = 'files', path = '/out', topic = 'b', key = 'change_type') AS
SELECT change_type, count(*) AS events FROM order_changes GROUP BY change_type;
CREATE SINK regions WITH (connector = 'files', path = '/out', topic = 'c') AS SELECT DISTINCT region FROM order_changes;
CREATE SINK mixed WITH (connector = 'files', path = '/out', topic = 'd', key = 'id') AS
SELECT id, count(*) AS times FROM (SELECT id FROM orders UNION ALL SELECT id FROM customer_changes) AS ids GROUP BY id;
