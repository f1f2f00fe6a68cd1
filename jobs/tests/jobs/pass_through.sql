-- The smallest job: a table written as it is.
CREATE SINK out WITH (connector = 'files', path = '/out', topic = 'orders', key = 'id') AS SELECT id, amount FROM orders;
