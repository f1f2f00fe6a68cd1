-- A delete takes the row and guards against older updates; a newer event brings the row back. Of equal versions the later position wins.
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud');
CREATE SOURCE note_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    text VARCHAR
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'notes', entity = 'note', format = 'json', envelope = 'crud');
CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE note (PRIMARY KEY (id)) FROM note_events;
CREATE SINK payments WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'current', format = 'json', key = 'id') AS
SELECT id, amount FROM payment;
CREATE SINK sums WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'sums', format = 'json', key = 'scope') AS
SELECT 'all' AS scope, count(*) AS payments, sum(amount) AS total FROM payment;
CREATE SINK notes WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'current_notes', format = 'json', key = 'id') AS
-- Without a version: what was written last.
SELECT id, text FROM note;
