-- Events of a key in the order of their time, in whatever order they arrive within five seconds; what comes later is in the ledger.
-- The watermark follows the slower partition: what is after it waits.
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2),
    status VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud', watermark.idle-timeout = '1 day');
CREATE STREAM payment_changes FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY
    RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
CREATE SINK audit WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'audit', format = 'json', key = 'payment_id', envelope = 'plain') AS
SELECT id AS payment_id, change_type, ts AS changed_at, amount, status, uuid AS event FROM payment_changes;
CREATE SINK late WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'late', format = 'json') AS
SELECT stage, source, topic, partition, "offset", reason, "key", headers, bytes, truncated FROM tidemill_late;
