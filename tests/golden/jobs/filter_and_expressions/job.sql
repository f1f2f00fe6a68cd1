-- A row leaves the output when its filter no longer holds, and its key with it.
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2),
    currency VARCHAR,
    note VARCHAR,
    due_on DATE,
    paid_at TIMESTAMP,
    rate DOUBLE,
    urgent BOOLEAN,
    code INT,
    ts TIMESTAMP METADATA FROM 'ts',
    event UUID METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud');
CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events VERSION BY ts;
CREATE SINK priced WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'priced', format = 'json', key = 'id') AS
SELECT
    id,
    amount * 1.2 AS gross,
    amount - 0.01 AS less_a_cent,
    upper(trim(note)) AS note,
    substr(note, 1, 3) AS head,
    character_length(note) AS length,
    COALESCE(currency, 'USD') AS currency,
    CASE WHEN amount >= 1000 THEN 'large' WHEN amount >= 100 THEN 'medium' ELSE 'small' END AS size,
    CASE currency WHEN 'EUR' THEN 'euro' WHEN 'USD' THEN 'dollar' END AS named,
    CAST(EXTRACT(YEAR FROM due_on) AS INT) AS year,
    due_on,
    paid_at,
    CAST(paid_at AS DATE) AS paid_on,
    paid_at IS NULL AS open,
    rate * 2 AS double_rate,
    urgent AND amount > 500 AS hurry,
    code % 7 AS code,
    event
FROM payment
WHERE amount > 10 AND (currency IN ('EUR', 'USD') OR currency IS NULL) AND note NOT LIKE '%void%';
