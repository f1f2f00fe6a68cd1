-- Events that a join or an aggregate remembers: each once, with what it is joined with as that is now.
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
CREATE STREAM payment_changes FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY;
CREATE SINK named WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'named', format = 'json', key = 'event') AS
SELECT c.uuid AS event, c.change_type, p.title, c.amount FROM payment_changes c LEFT JOIN production p ON p.id = c.production_id;
CREATE SINK kinds WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'kinds', format = 'json', key = 'change_type') AS
SELECT change_type, count(*) AS events, sum(amount) AS amount FROM payment_changes GROUP BY change_type;
CREATE SINK seen WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'seen', format = 'json') AS
SELECT DISTINCT production_id FROM payment_changes;
