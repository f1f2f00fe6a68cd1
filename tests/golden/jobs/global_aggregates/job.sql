-- One row, always: over something, over what is all gone, and over what never was.
CREATE SOURCE order_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'orders', entity = 'order', format = 'json', envelope = 'crud');
CREATE SOURCE refund_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2)
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'refunds', entity = 'refund', format = 'json', envelope = 'crud');
CREATE SOURCE claim_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'claims', entity = 'claim', format = 'json', envelope = 'crud');
CREATE TABLE orders (PRIMARY KEY (id)) FROM order_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE refunds (PRIMARY KEY (id)) FROM refund_events;
CREATE TABLE claims (PRIMARY KEY (id)) FROM claim_events VERSION BY ts;
CREATE SINK of_orders WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'of_orders', format = 'json', key = 'scope') AS
SELECT 'all' AS scope, count(*) AS rows, count(amount) AS amounts, sum(amount) AS total, avg(amount) AS mean, min(amount) AS least, max(amount) AS most FROM orders;
CREATE SINK of_refunds WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'of_refunds', format = 'json', key = 'scope') AS
SELECT 'all' AS scope, count(*) AS rows, count(amount) AS amounts, sum(amount) AS total, avg(amount) AS mean, min(amount) AS least, max(amount) AS most FROM refunds;
CREATE SINK of_claims WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'of_claims', format = 'json', key = 'scope') AS
SELECT 'all' AS scope, count(*) AS rows, count(amount) AS amounts, sum(amount) AS total, avg(amount) AS mean, min(amount) AS least, max(amount) AS most FROM claims;
