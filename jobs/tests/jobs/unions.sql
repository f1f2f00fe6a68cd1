-- UNION is DISTINCT over UNION ALL; types are made equal.
CREATE SINK every WITH (connector = 'files', path = '/out', topic = 'a', key = 'id') AS
SELECT id, amount FROM orders UNION ALL SELECT id, level FROM customers UNION ALL SELECT 0, NULL FROM customers;
CREATE SINK set WITH (connector = 'files', path = '/out', topic = 'b', key = 'id') AS SELECT id FROM orders UNION SELECT id FROM customers;
CREATE SINK events WITH (connector = 'files', path = '/out', topic = 'c') AS
SELECT id, change_type FROM order_changes UNION ALL SELECT id, change_type FROM customer_changes;
