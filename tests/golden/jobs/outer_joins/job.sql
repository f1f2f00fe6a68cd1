-- A row without a match is there with NULLs, until it has one, and again when it loses it. NULL equals nothing.
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
CREATE SINK left_join WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'left', format = 'json', key = 'payment_id') AS
SELECT y.id AS payment_id, p.title FROM payment y LEFT JOIN production p ON p.id = y.production_id;
CREATE SINK right_join WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'right', format = 'json', key = 'production_id, payment_id') AS
SELECT p.id AS production_id, y.id AS payment_id, y.amount FROM payment y RIGHT JOIN production p ON p.id = y.production_id;
CREATE SINK full_join WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'full', format = 'json', key = 'production_id, payment_id') AS
SELECT p.id AS production_id, y.id AS payment_id, p.title, y.amount FROM payment y FULL JOIN production p ON p.id = y.production_id;
