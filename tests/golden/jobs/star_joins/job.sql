-- Payments with what three of their columns name: every side changes, goes and comes again, in one stage with the others and in a later one
-- without them; NULL names nothing. Then a table with what two aggregates say of its key, and a chain whose second key is not the payment's.
CREATE SOURCE production_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    title VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'productions', entity = 'production', format = 'json', envelope = 'crud');
CREATE SOURCE budget_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    planned DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'budgets', entity = 'budget', format = 'json', envelope = 'crud');
CREATE SOURCE vendor_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    name VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'vendors', entity = 'vendor', format = 'json', envelope = 'crud');
CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    budget_id BIGINT,
    vendor_id BIGINT,
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'payments', entity = 'payment', format = 'json', envelope = 'crud');
CREATE TABLE production (PRIMARY KEY (id)) FROM production_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE budget (PRIMARY KEY (id)) FROM budget_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE vendor (PRIMARY KEY (id)) FROM vendor_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE SINK every_payment WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'every_payment', format = 'json', key = 'payment_id') AS
SELECT y.id AS payment_id, p.title, b.planned, v.name, y.amount
FROM payment y
LEFT JOIN production p ON p.id = y.production_id
LEFT JOIN budget b ON b.id = y.budget_id
LEFT JOIN vendor v ON v.id = y.vendor_id;
CREATE SINK of_vendors WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'of_vendors', format = 'json', key = 'payment_id') AS
SELECT y.id AS payment_id, p.title, b.planned - y.amount AS rest, v.name
FROM payment y
JOIN production p ON p.id = y.production_id
LEFT JOIN budget b ON b.id = y.budget_id
JOIN vendor v ON v.id = y.vendor_id;
CREATE SINK of_productions WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'of_productions', format = 'json', key = 'production_id') AS
-- One key: neither aggregate's change meets a row that lies between.
SELECT p.id AS production_id, p.title, y.paid, b.planned
FROM production p
LEFT JOIN (SELECT production_id, sum(amount) AS paid FROM payment GROUP BY production_id) y ON y.production_id = p.id
LEFT JOIN (SELECT production_id, sum(planned) AS planned FROM budget GROUP BY production_id) b ON b.production_id = p.id;
CREATE SINK by_budget WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_budget', format = 'json', key = 'payment_id') AS
-- A chain: which production it is, the budget says.
SELECT y.id AS payment_id, b.id AS budget_id, p.title
FROM payment y
JOIN budget b ON b.id = y.budget_id
LEFT JOIN production p ON p.id = b.production_id;
