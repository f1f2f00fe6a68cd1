-- A payment is due in July, then in June, then in July again. Its three events come in each of the six orders; every one ends in July.
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    due_on DATE,
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud', watermark.idle-timeout = '1 day');
CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE STREAM payment_changes FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
CREATE SINK due WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'due', format = 'json', key = 'id') AS
SELECT id, due_on, amount FROM payment;
CREATE SINK by_month WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_month', format = 'json', key = 'month') AS
SELECT CAST(EXTRACT(MONTH FROM due_on) AS INT) AS month, count(*) AS payments, sum(amount) AS total FROM payment GROUP BY CAST(EXTRACT(MONTH FROM due_on) AS INT);
CREATE SINK trail WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'trail', format = 'json', key = 'id', envelope = 'plain') AS
SELECT id, change_type, due_on FROM payment_changes;
