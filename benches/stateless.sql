-- What most jobs that only pass events on do: payments as they come, without those that were cancelled, with the columns that readers need.

CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    amount DECIMAL(18, 2),
    currency VARCHAR,
    due_on DATE,
    status VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.payment', entity = 'payment', format = 'json', envelope = 'crud'
);

CREATE STREAM payment_changes FROM payment_events;

CREATE SINK payment_due WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = '${BENCH_OUTPUT:-finance.payment_due}', format = 'json', key = 'id', envelope = 'plain'
) AS
SELECT id, production_id, amount, amount * 1.25 AS gross, currency, due_on, status, ts
FROM payment_changes
WHERE status <> 'cancelled';
