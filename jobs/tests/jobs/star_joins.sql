-- Columns of one fact, whose key makes it findable: one star, whatever is inner and what is left.
CREATE SINK of_a_table WITH (connector = 'files', path = '/out', topic = 'a', key = 'id') AS
SELECT o.id, a.name, b.name AS of_level, c.level
FROM orders o
LEFT JOIN customers a ON a.id = o.customer_id
JOIN customers b ON b.level = o.quantity
LEFT JOIN customers c ON c.name = o.region;
-- One key: a star that needs no column to be unique, nor one that is shown.
CREATE SINK of_one_key WITH (connector = 'files', path = '/out', topic = 'b', key = 'id') AS
SELECT c.id, s.total, n.orders
FROM customers c
LEFT JOIN (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id) s ON s.customer_id = c.id
LEFT JOIN (SELECT customer_id, count(*) AS orders FROM orders GROUP BY customer_id) n ON n.customer_id = c.id;
-- Groups are unique by what they are grouped by.
CREATE SINK of_groups WITH (connector = 'files', path = '/out', topic = 'c', key = 'customer_id, region') AS
SELECT g.customer_id, g.region, g.total, a.name, b.level
FROM (SELECT customer_id, region, sum(amount) AS total FROM orders GROUP BY customer_id, region) g
LEFT JOIN customers a ON a.id = g.customer_id
LEFT JOIN customers b ON b.name = g.region;
-- No stars. The second key is a dimension's.
CREATE SINK chain_over_a_dimension WITH (connector = 'files', path = '/out', topic = 'd', key = 'id') AS
SELECT o.id, a.name, b.level FROM orders o JOIN customers a ON a.id = o.customer_id JOIN customers b ON b.level = a.level;
-- The second key is computed of both sides.
CREATE SINK chain_over_both WITH (connector = 'files', path = '/out', topic = 'e', key = 'id') AS
SELECT o.id, a.name, b.level FROM orders o JOIN customers a ON a.id = o.customer_id JOIN customers b ON b.id = o.quantity + a.level;
-- The second key is computed of the fact: a cast.
CREATE SINK chain_over_a_cast WITH (connector = 'files', path = '/out', topic = 'i', key = 'id') AS
SELECT o.id, a.name, b.level FROM orders o JOIN customers a ON a.id = o.customer_id JOIN customers b ON b.id = o.quantity;
-- A row is kept without its fact.
CREATE SINK right_end WITH (connector = 'files', path = '/out', topic = 'f', key = 'order_id, customer_id') AS
SELECT o.id AS order_id, b.id AS customer_id, a.name
FROM orders o LEFT JOIN customers a ON a.id = o.customer_id FULL JOIN customers b ON b.level = o.quantity;
-- What lies between is filtered by both sides.
CREATE SINK filter_between WITH (connector = 'files', path = '/out', topic = 'g', key = 'id') AS
SELECT o.id, a.name, b.level
FROM orders o JOIN customers a ON a.id = o.customer_id AND a.level > o.quantity JOIN customers b ON b.name = o.region;
-- No row of the fact can be told from another.
CREATE SINK without_unique_columns WITH (connector = 'files', path = '/out', topic = 'h', key = 'name') AS
SELECT a.name, sum(o.amount) AS total, max(b.level) AS level
FROM orders o LEFT JOIN customers a ON a.id = o.customer_id LEFT JOIN customers b ON b.name = o.region GROUP BY a.name;
