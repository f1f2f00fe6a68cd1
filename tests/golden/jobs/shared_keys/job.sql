-- Rows may share the key of a sink: the least of them is written, and when it goes, the next one is.
CREATE SOURCE product_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    code VARCHAR,
    price DECIMAL(18, 2),
    vendor_id BIGINT,
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'products', entity = 'product', format = 'json', envelope = 'crud');
CREATE SOURCE vendor_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    name VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'vendors', entity = 'vendor', format = 'json', envelope = 'crud');
CREATE TABLE product (PRIMARY KEY (id)) FROM product_events VERSION BY ts;
CREATE TABLE vendor (PRIMARY KEY (id)) FROM vendor_events VERSION BY ts;
CREATE SINK by_code WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_code', format = 'json', key = 'code') AS
SELECT code, id, price FROM product;
-- A join alone: nothing that keeps state but the sink reads it.
CREATE SINK by_vendor WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_vendor', format = 'json', key = 'name') AS
SELECT v.name, p.id, p.price FROM product p JOIN vendor v ON v.id = p.vendor_id;
CREATE SINK by_total WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_total', format = 'json', key = 'total') AS
SELECT total, code FROM (SELECT code, sum(price) AS total FROM product GROUP BY code) AS totals;
