-- DISTINCT keeps a row until the last of its like is gone; UNION ALL counts, UNION does not.
CREATE SOURCE order_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    customer BIGINT,
    region VARCHAR,
    amount DECIMAL(18, 2),
    weight DOUBLE,
    placed_on DATE,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'orders', entity = 'order', format = 'json', envelope = 'crud');
CREATE TABLE orders (PRIMARY KEY (id)) FROM order_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE SOURCE refund_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    region VARCHAR,
    amount DECIMAL(9, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'refunds', entity = 'refund', format = 'json', envelope = 'crud');
CREATE TABLE refunds (PRIMARY KEY (id)) FROM refund_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE SINK regions WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'regions', format = 'json', key = 'region') AS
SELECT DISTINCT region FROM orders;
CREATE SINK moved WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'moved', format = 'json', key = 'kind, id') AS
SELECT 'order' AS kind, id, amount FROM orders UNION ALL SELECT 'refund' AS kind, id, -amount FROM refunds;
CREATE SINK ids WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'ids', format = 'json', key = 'id') AS
SELECT id FROM orders UNION SELECT id FROM refunds;
CREATE SINK balance WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'balance', format = 'json', key = 'region') AS
SELECT region, sum(amount) AS balance, count(*) AS movements
FROM (SELECT region, amount FROM orders UNION ALL SELECT region, -amount FROM refunds) AS movements GROUP BY region;
