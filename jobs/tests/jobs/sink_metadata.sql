-- Columns that stand beside the value: as headers, and as the record's time.
CREATE SINK out WITH (connector = 'files', path = '/out', topic = 'orders', key = 'id', headers = 'region, customer_id', timestamp = 'placed_at') AS
SELECT id, amount, region, customer_id, placed_at FROM orders;
