-- The least and the greatest leave, a customer is counted once, NULL is a group and is not a value, and a group goes with its last row.
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
CREATE SINK by_region WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_region', format = 'json', key = 'region') AS
SELECT
    region,
    count(*) AS orders,
    count(weight) AS weighed,
    count(DISTINCT customer) AS customers,
    sum(amount) AS total,
    avg(amount) AS mean,
    min(amount) AS least,
    max(amount) AS most,
    min(placed_on) AS first,
    max(placed_on) AS last,
    sum(amount) FILTER (WHERE weight > 1) AS heavy
FROM orders GROUP BY region;
CREATE SINK busy WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'busy', format = 'json', key = 'region') AS
SELECT region, count(*) AS orders FROM orders GROUP BY region HAVING count(*) > 2;
CREATE SINK customers WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'customers', format = 'json', key = 'orders') AS
-- How many customers have placed so many orders: an aggregate of an aggregate.
SELECT orders, count(*) AS customers FROM (SELECT customer, count(*) AS orders FROM orders GROUP BY customer) AS counts GROUP BY orders;
