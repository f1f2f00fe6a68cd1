-- An event that comes again changes nothing, wherever it comes; a record that cannot be read is kept with its bytes, and is not in the way of the next.
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2) NOT NULL,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud');
CREATE STREAM payment_changes FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY;
CREATE SINK changes WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'changes', format = 'json', key = 'id', envelope = 'plain') AS
SELECT id, change_type, amount, uuid FROM payment_changes;
CREATE SINK dead_letters WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead_letters', format = 'json') AS
SELECT stage, source, topic, partition, "offset", reason, "key", headers, bytes, truncated FROM tidemill_dead_letters;
