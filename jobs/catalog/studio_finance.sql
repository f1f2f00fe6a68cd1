-- The finance of a film studio: six entities change in many services; this keeps what depends on them true.

-- Sources: one topic per entity, all in the studio's envelope (uuid, type, ts, entity, id, state).

CREATE SOURCE production_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    title VARCHAR,
    genre VARCHAR,
    region VARCHAR,
    distributor VARCHAR,
    director VARCHAR,
    release_date DATE,
    status VARCHAR,
    planned_budget DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.production', entity = 'production', format = 'json', envelope = 'crud'
);

CREATE SOURCE talent_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    name VARCHAR,
    role VARCHAR,
    fee DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.talent', entity = 'talent', format = 'json', envelope = 'crud'
);

CREATE SOURCE schedule_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    phase VARCHAR,
    starts_on DATE,
    ends_on DATE,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.schedule', entity = 'schedule', format = 'json', envelope = 'crud'
);

CREATE SOURCE budget_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    department VARCHAR,
    amount DECIMAL(18, 2),
    currency VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.budget', entity = 'budget', format = 'json', envelope = 'crud'
);

CREATE SOURCE payment_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    budget_id BIGINT,
    talent_id BIGINT,
    amount DECIMAL(18, 2),
    currency VARCHAR,
    due_on DATE,
    status VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.payment', entity = 'payment', format = 'json', envelope = 'crud'
);

CREATE SOURCE cash_flow_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    production_id BIGINT,
    direction VARCHAR,
    category VARCHAR,
    amount DECIMAL(18, 2),
    booked_at TIMESTAMP,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR booked_at AS booked_at - INTERVAL '1' HOUR
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'studio.cash_flow', entity = 'cash_flow', format = 'json', envelope = 'crud'
);

-- Current state: fresh at once, the newest version wins.

CREATE TABLE production (PRIMARY KEY (id)) FROM production_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;

CREATE TABLE talent (PRIMARY KEY (id)) FROM talent_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;

CREATE TABLE schedule (PRIMARY KEY (id)) FROM schedule_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;

CREATE TABLE budget (PRIMARY KEY (id)) FROM budget_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;

CREATE TABLE payment (PRIMARY KEY (id)) FROM payment_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;

CREATE TABLE cash_flow (PRIMARY KEY (id)) FROM cash_flow_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;

-- Every accepted change of a payment, in order per payment: waits up to the bound.

CREATE STREAM payment_changes FROM payment_events
    DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY
    RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;

-- One row per production: what it may cost, what it has cost, and whether that is too much.

CREATE VIEW production_finance AS
SELECT
    p.id AS production_id,
    p.title,
    p.genre,
    p.region,
    p.distributor,
    p.director,
    p.release_date,
    p.status,
    p.planned_budget,
    COALESCE(b.total, 0) AS budget_total,
    COALESCE(b.lines, 0) AS budget_lines,
    COALESCE(y.total, 0) AS paid_total,
    COALESCE(y.payments, 0) AS payments,
    COALESCE(t.talents, 0) AS talents,
    COALESCE(s.phases, 0) AS phases,
    COALESCE(b.total, 0) - COALESCE(y.total, 0) AS variance,
    COALESCE(y.total, 0) > COALESCE(b.total, 0) AS over_budget
FROM production p
LEFT JOIN (SELECT production_id, SUM(amount) AS total, COUNT(*) AS lines FROM budget GROUP BY production_id) b
    ON b.production_id = p.id
LEFT JOIN (SELECT production_id, SUM(amount) AS total, COUNT(*) AS payments FROM payment GROUP BY production_id) y
    ON y.production_id = p.id
LEFT JOIN (SELECT production_id, COUNT(*) AS talents FROM talent GROUP BY production_id) t
    ON t.production_id = p.id
LEFT JOIN (SELECT production_id, COUNT(*) AS phases FROM schedule GROUP BY production_id) s
    ON s.production_id = p.id;

CREATE SINK finance_production WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.production', format = 'json', key = 'production_id'
) AS SELECT * FROM production_finance;

-- A payment with the names that its ids stand for.

CREATE SINK finance_payment_enriched WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.payment_enriched', format = 'json', key = 'payment_id'
) AS SELECT
    y.id AS payment_id,
    y.production_id,
    p.title,
    p.region,
    y.budget_id,
    b.department,
    b.amount AS budget_amount,
    y.talent_id,
    t.name AS talent_name,
    t.role,
    y.amount,
    y.currency,
    y.due_on,
    y.status
FROM payment y
JOIN production p ON p.id = y.production_id
LEFT JOIN budget b ON b.id = y.budget_id
LEFT JOIN talent t ON t.id = y.talent_id;

-- The audit trail of payments: every change once, in order per payment.

CREATE SINK finance_payment_audit WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.payment_audit', format = 'json', key = 'payment_id', envelope = 'plain'
) AS SELECT
    id AS payment_id,
    change_type,
    ts AS changed_at,
    uuid AS event_uuid,
    production_id,
    budget_id,
    amount,
    currency,
    due_on,
    status
FROM payment_changes;

-- Cash in and out per production and day, when the day is over; corrected when a booking is.

CREATE SINK finance_cash_flow_daily WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.cash_flow_daily', format = 'json', key = 'production_id, day'
) AS SELECT
    production_id,
    window_start AS day,
    SUM(CASE WHEN direction = 'in' THEN amount ELSE 0 END) AS cash_in,
    SUM(CASE WHEN direction = 'out' THEN amount ELSE 0 END) AS cash_out,
    SUM(CASE WHEN direction = 'in' THEN amount WHEN direction = 'out' THEN -amount ELSE 0 END) AS net,
    COUNT(*) AS entries
FROM TABLE(TUMBLE(TABLE cash_flow, DESCRIPTOR(booked_at), INTERVAL '1' DAY))
GROUP BY production_id, window_start, window_end;

-- What is spent where and when: a cube of payments by the region of their production and the year that they are due in.

CREATE SINK finance_spend_by_region_year WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.spend_by_region_year', format = 'json', key = 'region, year'
) AS SELECT
    p.region,
    CAST(EXTRACT(YEAR FROM y.due_on) AS INT) AS year,
    COUNT(*) AS payments,
    SUM(y.amount) AS spend
FROM payment y
JOIN production p ON p.id = y.production_id
GROUP BY p.region, CAST(EXTRACT(YEAR FROM y.due_on) AS INT);

-- Nothing is dropped in silence.

CREATE SINK finance_late WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.late', format = 'json'
) AS SELECT * FROM tidemill_late;

CREATE SINK finance_dead_letters WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}',
    topic = 'finance.dead_letters', format = 'json'
) AS SELECT * FROM tidemill_dead_letters;
