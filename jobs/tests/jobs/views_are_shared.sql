-- Two sinks over one view share its nodes; a common table expression is a view of one query.
CREATE VIEW spend AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id;
CREATE VIEW big AS SELECT * FROM spend WHERE total > 1000;
CREATE SINK a WITH (connector = 'files', path = '/out', topic = 'a', key = 'customer_id') AS SELECT * FROM spend;
CREATE SINK b WITH (connector = 'files', path = '/out', topic = 'b', key = 'customer_id') AS SELECT customer_id, total FROM spend;
CREATE SINK c WITH (connector = 'files', path = '/out', topic = 'c', key = 'name') AS
WITH named AS (SELECT c.name, b.total FROM big b JOIN customers c ON c.id = b.customer_id)
SELECT name, sum(total) AS total FROM named GROUP BY name;
