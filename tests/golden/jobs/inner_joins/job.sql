-- Both sides change: what a row is joined with moves, is renamed, goes, and comes after it.
CREATE SOURCE production_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    title VARCHAR,
    region VARCHAR,
    least DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'productions', entity = 'production', format = 'json', envelope = 'crud');
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud');
CREATE TABLE production (PRIMARY KEY (id)) FROM production_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE SINK named WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'named', format = 'json', key = 'payment_id') AS
SELECT y.id AS payment_id, y.production_id, p.title, y.amount FROM payment y JOIN production p ON p.id = y.production_id;
CREATE SINK considerable WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'considerable', format = 'json', key = 'payment_id') AS
SELECT y.id AS payment_id, p.title, y.amount - p.least AS above FROM payment y JOIN production p ON p.id = y.production_id AND y.amount > p.least;
CREATE SINK pairs WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'pairs', format = 'json', key = 'first, second') AS
SELECT x.id AS first, y.id AS second, x.amount + y.amount AS together
FROM payment x JOIN payment y ON x.production_id = y.production_id
WHERE x.id < y.id;
