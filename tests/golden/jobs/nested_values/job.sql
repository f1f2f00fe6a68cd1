-- Structs, arrays and maps through tables, joins and sinks: as columns, by their parts, and as the rows that a key shares.
CREATE SOURCE order_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    customer_id BIGINT,
    items ARRAY<STRUCT<sku VARCHAR, price DECIMAL(18, 2)>>,
    labels MAP<VARCHAR, VARCHAR>,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'orders', entity = 'order', format = 'json', envelope = 'crud');
CREATE SOURCE customer_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    address STRUCT<city VARCHAR, "zipCode" INT, geo STRUCT<x DOUBLE, y DOUBLE>>,
    phones VARCHAR[],
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'customers', entity = 'customer', format = 'json', envelope = 'crud');
CREATE TABLE orders (PRIMARY KEY (id)) FROM order_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE customer (PRIMARY KEY (id)) FROM customer_events VERSION BY ts;
CREATE STREAM order_changes FROM order_events;
CREATE SINK by_order WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_order', format = 'json', key = 'order_id') AS
SELECT o.id AS order_id, o.items, o.labels, c.address, c.phones, o.items[1].price AS first_price, c.address.city, cardinality(o.items) AS lines
FROM orders o LEFT JOIN customer c ON c.id = o.customer_id;
-- The parts are keys; the values that they lie in are not.
CREATE SINK by_city WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_city', format = 'json', key = 'city') AS
SELECT c.address.city AS city, count(*) AS orders, sum(o.items[1].price) AS first_prices, count(o.labels) AS labelled
FROM orders o JOIN customer c ON c.id = o.customer_id GROUP BY c.address.city;
-- Customers share a city; the least of their other columns is written.
CREATE SINK by_shared_city WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_shared_city', format = 'json', key = 'city') AS
SELECT address.city, phones, address FROM customer;
CREATE SINK distinct_labels WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'distinct_labels', format = 'json', key = 'size, channel') AS
SELECT DISTINCT cardinality(labels) AS size, labels['channel'] AS channel, labels FROM orders;
CREATE SINK first_items WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'first_items', format = 'json') AS
SELECT id, items[1] AS item, labels FROM order_changes WHERE items[1].price > 1;
CREATE SINK dead WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead', format = 'json') AS
SELECT topic, reason FROM tidemill_dead_letters;
