-- What an event lacks: without an id it is no duplicate; without the table's key, or a delete without its version, it is a dead letter of that
-- table alone; an update without a version is older than all.
CREATE SOURCE product_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    code VARCHAR,
    rev BIGINT,
    price DECIMAL(18, 2),
    ref VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'products', entity = 'product', format = 'json', envelope = 'crud');
CREATE TABLE by_id (PRIMARY KEY (id)) FROM product_events DEDUPLICATE BY ref WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE by_code (PRIMARY KEY (code)) FROM product_events VERSION BY ts;
CREATE TABLE by_rev (PRIMARY KEY (id)) FROM product_events VERSION BY rev;
CREATE TABLE by_both (PRIMARY KEY (id, code)) FROM product_events;
CREATE SINK by_id_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_id', format = 'json', key = 'id') AS
SELECT id, code, price FROM by_id;
CREATE SINK by_code_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_code', format = 'json', key = 'code') AS
SELECT code, id, price FROM by_code;
CREATE SINK by_rev_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_rev', format = 'json', key = 'id') AS
SELECT id, code, price FROM by_rev;
CREATE SINK by_both_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_both', format = 'json', key = 'id, code') AS
SELECT id, code, price FROM by_both;
CREATE SINK dead WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead', format = 'json') AS
SELECT stage, source, topic, partition, "offset", reason, "key", headers, bytes, truncated FROM tidemill_dead_letters;
