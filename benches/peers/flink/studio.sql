-- The job of ../studio_peers.sql for Apache Flink SQL. `${BOOTSTRAP}` is replaced before it is submitted (../flink.sh).
--
-- All fields of `data` are read as text and cast: a field of another type would otherwise become NULL in silence, and its event would be
-- accepted. What cannot be cast, or is no event of the entity, is dropped (Tidemill keeps it as a dead letter).

SET 'pipeline.name' = 'studio';
SET 'table.local-time-zone' = 'UTC';
-- The newest version wins by event time; nothing waits for a watermark.
SET 'table.exec.source.idle-timeout' = '1 s';
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '200 ms';
SET 'table.exec.mini-batch.size' = '5000';

CREATE TABLE production_events (
    `uuid` STRING, `type` STRING, `ts` BIGINT, `entity` STRING, `id` BIGINT,
    `data` ROW<title STRING, genre STRING, region STRING, distributor STRING, director STRING, release_date STRING, status STRING, planned_budget STRING>,
    arrival AS PROCTIME(),
    changed_at AS TO_TIMESTAMP_LTZ(COALESCE(`ts`, 0), 3),
    WATERMARK FOR changed_at AS changed_at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'studio.production', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE talent_events (
    `uuid` STRING, `type` STRING, `ts` BIGINT, `entity` STRING, `id` BIGINT,
    `data` ROW<production_id STRING, name STRING, `role` STRING, fee STRING>,
    arrival AS PROCTIME(),
    changed_at AS TO_TIMESTAMP_LTZ(COALESCE(`ts`, 0), 3),
    WATERMARK FOR changed_at AS changed_at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'studio.talent', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE schedule_events (
    `uuid` STRING, `type` STRING, `ts` BIGINT, `entity` STRING, `id` BIGINT,
    `data` ROW<production_id STRING, phase STRING>,
    arrival AS PROCTIME(),
    changed_at AS TO_TIMESTAMP_LTZ(COALESCE(`ts`, 0), 3),
    WATERMARK FOR changed_at AS changed_at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'studio.schedule', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE budget_events (
    `uuid` STRING, `type` STRING, `ts` BIGINT, `entity` STRING, `id` BIGINT,
    `data` ROW<production_id STRING, department STRING, amount STRING>,
    arrival AS PROCTIME(),
    changed_at AS TO_TIMESTAMP_LTZ(COALESCE(`ts`, 0), 3),
    WATERMARK FOR changed_at AS changed_at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'studio.budget', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE payment_events (
    `uuid` STRING, `type` STRING, `ts` BIGINT, `entity` STRING, `id` BIGINT,
    `data` ROW<production_id STRING, budget_id STRING, talent_id STRING, amount STRING, currency STRING, due_on STRING, status STRING>,
    arrival AS PROCTIME(),
    changed_at AS TO_TIMESTAMP_LTZ(COALESCE(`ts`, 0), 3),
    WATERMARK FOR changed_at AS changed_at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'studio.payment', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

CREATE TABLE cash_flow_events (
    `uuid` STRING, `type` STRING, `ts` BIGINT, `entity` STRING, `id` BIGINT,
    `data` ROW<production_id STRING, direction STRING, amount STRING, booked_at STRING>,
    arrival AS PROCTIME(),
    changed_at AS TO_TIMESTAMP_LTZ(COALESCE(`ts`, 0), 3),
    WATERMARK FOR changed_at AS changed_at - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = 'studio.cash_flow', 'properties.bootstrap.servers' = '${BOOTSTRAP}', 'properties.group.id' = 'flink',
    'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
);

-- Valid events, with typed columns. Texts that are JSON of another type begin with '{' or '[', or are a boolean.

CREATE VIEW valid_production AS
SELECT `uuid`, `type`, changed_at, arrival, `id`, title, genre, region, distributor, director,
    TRY_CAST(release_date AS DATE) AS release_date, status, TRY_CAST(planned_budget AS DECIMAL(18, 2)) AS planned_budget
FROM (SELECT *, e.`data`.title, e.`data`.genre, e.`data`.region, e.`data`.distributor, e.`data`.director, e.`data`.release_date, e.`data`.status, e.`data`.planned_budget FROM production_events e)
WHERE entity = 'production' AND CHAR_LENGTH(`uuid`) = 36 AND `id` IS NOT NULL AND changed_at <= CURRENT_TIMESTAMP + INTERVAL '1' DAY AND `ts` IS NOT NULL
    AND (`type` = 'delete' OR (`type` IN ('create', 'update') AND `data` IS NOT NULL
        AND (title IS NULL OR (title NOT IN ('true', '[]') AND title NOT LIKE '{%'))
        AND (release_date IS NULL OR TRY_CAST(release_date AS DATE) IS NOT NULL)
        AND (planned_budget IS NULL OR TRY_CAST(planned_budget AS DECIMAL(20, 3)) = TRY_CAST(planned_budget AS DECIMAL(18, 2)))));

CREATE VIEW valid_talent AS
SELECT `uuid`, `type`, changed_at, arrival, `id`, TRY_CAST(production_id AS BIGINT) AS production_id, name, `role`
FROM (SELECT *, e.`data`.production_id, e.`data`.name, e.`data`.`role` FROM talent_events e)
WHERE entity = 'talent' AND CHAR_LENGTH(`uuid`) = 36 AND `id` IS NOT NULL AND changed_at <= CURRENT_TIMESTAMP + INTERVAL '1' DAY AND `ts` IS NOT NULL
    AND (`type` = 'delete' OR (`type` IN ('create', 'update') AND `data` IS NOT NULL
        AND (production_id IS NULL OR TRY_CAST(production_id AS BIGINT) IS NOT NULL)
        AND (name IS NULL OR (name NOT IN ('true', '[]') AND name NOT LIKE '{%'))
        AND (`role` IS NULL OR (`role` NOT IN ('true', '[]') AND `role` NOT LIKE '{%'))));

CREATE VIEW valid_schedule AS
SELECT `uuid`, `type`, changed_at, arrival, `id`, TRY_CAST(production_id AS BIGINT) AS production_id
FROM (SELECT *, e.`data`.production_id FROM schedule_events e)
WHERE entity = 'schedule' AND CHAR_LENGTH(`uuid`) = 36 AND `id` IS NOT NULL AND changed_at <= CURRENT_TIMESTAMP + INTERVAL '1' DAY AND `ts` IS NOT NULL
    AND (`type` = 'delete' OR (`type` IN ('create', 'update') AND `data` IS NOT NULL
        AND (production_id IS NULL OR TRY_CAST(production_id AS BIGINT) IS NOT NULL)));

CREATE VIEW valid_budget AS
SELECT `uuid`, `type`, changed_at, arrival, `id`, TRY_CAST(production_id AS BIGINT) AS production_id, department, TRY_CAST(amount AS DECIMAL(18, 2)) AS amount
FROM (SELECT *, e.`data`.production_id, e.`data`.department, e.`data`.amount FROM budget_events e)
WHERE entity = 'budget' AND CHAR_LENGTH(`uuid`) = 36 AND `id` IS NOT NULL AND changed_at <= CURRENT_TIMESTAMP + INTERVAL '1' DAY AND `ts` IS NOT NULL
    AND (`type` = 'delete' OR (`type` IN ('create', 'update') AND `data` IS NOT NULL
        AND (production_id IS NULL OR TRY_CAST(production_id AS BIGINT) IS NOT NULL)
        AND (amount IS NULL OR TRY_CAST(amount AS DECIMAL(20, 3)) = TRY_CAST(amount AS DECIMAL(18, 2)))));

CREATE VIEW valid_payment AS
SELECT `uuid`, `type`, changed_at, arrival, `id`, TRY_CAST(production_id AS BIGINT) AS production_id, TRY_CAST(budget_id AS BIGINT) AS budget_id,
    TRY_CAST(talent_id AS BIGINT) AS talent_id, TRY_CAST(amount AS DECIMAL(18, 2)) AS amount, currency, TRY_CAST(due_on AS DATE) AS due_on, status
FROM (SELECT *, e.`data`.production_id, e.`data`.budget_id, e.`data`.talent_id, e.`data`.amount, e.`data`.currency, e.`data`.due_on, e.`data`.status FROM payment_events e)
WHERE entity = 'payment' AND CHAR_LENGTH(`uuid`) = 36 AND `id` IS NOT NULL AND changed_at <= CURRENT_TIMESTAMP + INTERVAL '1' DAY AND `ts` IS NOT NULL
    AND (`type` = 'delete' OR (`type` IN ('create', 'update') AND `data` IS NOT NULL
        AND (production_id IS NULL OR TRY_CAST(production_id AS BIGINT) IS NOT NULL)
        AND (budget_id IS NULL OR TRY_CAST(budget_id AS BIGINT) IS NOT NULL)
        AND (amount IS NULL OR TRY_CAST(amount AS DECIMAL(20, 3)) = TRY_CAST(amount AS DECIMAL(18, 2)))
        AND (due_on IS NULL OR TRY_CAST(due_on AS DATE) IS NOT NULL)
        AND (status IS NULL OR (status NOT IN ('true', '[]') AND status NOT LIKE '{%'))));

CREATE VIEW valid_cash_flow AS
SELECT `uuid`, `type`, changed_at, arrival, `id`, TRY_CAST(production_id AS BIGINT) AS production_id, direction,
    TRY_CAST(amount AS DECIMAL(18, 2)) AS amount, TO_TIMESTAMP_LTZ(TRY_CAST(booked_at AS BIGINT), 3) AS booked_at
FROM (SELECT *, e.`data`.production_id, e.`data`.direction, e.`data`.amount, e.`data`.booked_at FROM cash_flow_events e)
WHERE entity = 'cash_flow' AND CHAR_LENGTH(`uuid`) = 36 AND `id` IS NOT NULL AND changed_at <= CURRENT_TIMESTAMP + INTERVAL '1' DAY AND `ts` IS NOT NULL
    AND (`type` = 'delete' OR (`type` IN ('create', 'update') AND `data` IS NOT NULL
        AND (production_id IS NULL OR TRY_CAST(production_id AS BIGINT) IS NOT NULL)
        AND (direction IS NULL OR (direction NOT IN ('true', '[]') AND direction NOT LIKE '{%'))
        AND (amount IS NULL OR TRY_CAST(amount AS DECIMAL(20, 3)) = TRY_CAST(amount AS DECIMAL(18, 2)))
        AND (booked_at IS NULL OR TO_TIMESTAMP_LTZ(TRY_CAST(booked_at AS BIGINT), 3) <= CURRENT_TIMESTAMP + INTERVAL '1' DAY)));

-- Current state: each event once by its uuid, then the newest version of each entity, unless that is a deletion.

CREATE VIEW production AS
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY changed_at DESC) AS newest
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `uuid` ORDER BY arrival ASC) AS copy FROM valid_production) WHERE copy = 1
) WHERE newest = 1 AND `type` <> 'delete';

CREATE VIEW talent AS
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY changed_at DESC) AS newest
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `uuid` ORDER BY arrival ASC) AS copy FROM valid_talent) WHERE copy = 1
) WHERE newest = 1 AND `type` <> 'delete';

CREATE VIEW schedule AS
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY changed_at DESC) AS newest
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `uuid` ORDER BY arrival ASC) AS copy FROM valid_schedule) WHERE copy = 1
) WHERE newest = 1 AND `type` <> 'delete';

CREATE VIEW budget AS
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY changed_at DESC) AS newest
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `uuid` ORDER BY arrival ASC) AS copy FROM valid_budget) WHERE copy = 1
) WHERE newest = 1 AND `type` <> 'delete';

CREATE VIEW payment AS
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY changed_at DESC) AS newest
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `uuid` ORDER BY arrival ASC) AS copy FROM valid_payment) WHERE copy = 1
) WHERE newest = 1 AND `type` <> 'delete';

CREATE VIEW cash_flow AS
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `id` ORDER BY changed_at DESC) AS newest
    FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `uuid` ORDER BY arrival ASC) AS copy FROM valid_cash_flow) WHERE copy = 1
) WHERE newest = 1 AND `type` <> 'delete';

CREATE TABLE finance_production (
    production_id BIGINT, title STRING, genre STRING, region STRING, distributor STRING, director STRING, release_date DATE, status STRING,
    planned_budget STRING, budget_total STRING, budget_lines BIGINT, paid_total STRING, payments BIGINT, talents BIGINT, phases BIGINT,
    variance STRING, over_budget BOOLEAN,
    PRIMARY KEY (production_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'finance.production', 'properties.bootstrap.servers' = '${BOOTSTRAP}',
    'key.format' = 'json', 'value.format' = 'json',
    'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'finance.production',
    'properties.transaction.timeout.ms' = '600000'
);

CREATE TABLE finance_payment_enriched (
    payment_id BIGINT, production_id BIGINT, title STRING, region STRING, budget_id BIGINT, department STRING, budget_amount STRING,
    talent_id BIGINT, talent_name STRING, `role` STRING, amount STRING, currency STRING, due_on DATE, status STRING,
    PRIMARY KEY (payment_id) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'finance.payment_enriched', 'properties.bootstrap.servers' = '${BOOTSTRAP}',
    'key.format' = 'json', 'value.format' = 'json',
    'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'finance.payment_enriched',
    'properties.transaction.timeout.ms' = '600000'
);

CREATE TABLE finance_cash_flow_daily (
    production_id BIGINT, `day` STRING, cash_in STRING, cash_out STRING, net STRING, entries BIGINT,
    PRIMARY KEY (production_id, `day`) NOT ENFORCED
) WITH (
    'connector' = 'upsert-kafka', 'topic' = 'finance.cash_flow_daily', 'properties.bootstrap.servers' = '${BOOTSTRAP}',
    'key.format' = 'json', 'value.format' = 'json',
    'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'finance.cash_flow_daily',
    'properties.transaction.timeout.ms' = '600000'
);

BEGIN STATEMENT SET;

INSERT INTO finance_production
SELECT
    p.`id`, p.title, p.genre, p.region, p.distributor, p.director, p.release_date, p.status, CAST(p.planned_budget AS STRING),
    CAST(COALESCE(b.total, 0.00) AS STRING), COALESCE(b.`lines`, 0),
    CAST(COALESCE(y.total, 0.00) AS STRING), COALESCE(y.payments, 0),
    COALESCE(t.talents, 0), COALESCE(s.phases, 0),
    CAST(COALESCE(b.total, 0.00) - COALESCE(y.total, 0.00) AS STRING),
    COALESCE(y.total, 0.00) > COALESCE(b.total, 0.00)
FROM production p
LEFT JOIN (SELECT production_id, SUM(amount) AS total, COUNT(*) AS `lines` FROM budget GROUP BY production_id) b ON b.production_id = p.`id`
LEFT JOIN (SELECT production_id, SUM(amount) AS total, COUNT(*) AS payments FROM payment GROUP BY production_id) y ON y.production_id = p.`id`
LEFT JOIN (SELECT production_id, COUNT(*) AS talents FROM talent GROUP BY production_id) t ON t.production_id = p.`id`
LEFT JOIN (SELECT production_id, COUNT(*) AS phases FROM schedule GROUP BY production_id) s ON s.production_id = p.`id`;

INSERT INTO finance_payment_enriched
SELECT
    y.`id`, y.production_id, p.title, p.region, y.budget_id, b.department, CAST(b.amount AS STRING), y.talent_id, t.name, t.`role`,
    CAST(y.amount AS STRING), y.currency, y.due_on, y.status
FROM payment y
JOIN production p ON p.`id` = y.production_id
LEFT JOIN budget b ON b.`id` = y.budget_id
LEFT JOIN talent t ON t.`id` = y.talent_id;

-- Not a window that waits for a watermark: those take no corrections once they are closed. Early rows come in exchange.
INSERT INTO finance_cash_flow_daily
SELECT
    production_id, `day`, CAST(cash_in AS STRING), CAST(cash_out AS STRING), CAST(cash_in - cash_out AS STRING), entries
FROM (
    SELECT production_id, `day`,
        SUM(CASE WHEN direction = 'in' THEN COALESCE(amount, 0.00) ELSE 0.00 END) AS cash_in,
        SUM(CASE WHEN direction = 'out' THEN COALESCE(amount, 0.00) ELSE 0.00 END) AS cash_out,
        COUNT(*) AS entries
    FROM (SELECT production_id, direction, amount, DATE_FORMAT(booked_at, 'yyyy-MM-dd') || ' 00:00:00' AS `day` FROM cash_flow WHERE booked_at IS NOT NULL)
    GROUP BY production_id, `day`
) WHERE production_id IS NOT NULL;

END;
