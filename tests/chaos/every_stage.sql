-- The second job of `make chaos`: every stage behind another, small enough that plain maps can say what each sink
-- must hold.

CREATE SOURCE account_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    region VARCHAR,
    owner VARCHAR,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.account', entity = 'account', format = 'json', envelope = 'crud'
);

CREATE SOURCE movement_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    account_id BIGINT,
    kind VARCHAR,
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.movement', entity = 'movement', format = 'json', envelope = 'crud'
);

-- dedup, table, resequence

CREATE TABLE account (PRIMARY KEY (id)) FROM account_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE movement (PRIMARY KEY (id)) FROM movement_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE STREAM movement_seen FROM movement_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY;
CREATE STREAM movement_changes FROM movement_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY
    RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;

-- dedup, to an append-only sink

CREATE SINK seen WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.seen', format = 'json', key = 'id', envelope = 'plain'
) AS SELECT id, uuid, change_type, amount, ts FROM movement_seen;

-- dedup, resequence, to an append-only sink

CREATE SINK trail WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.trail', format = 'json', key = 'id', envelope = 'plain'
) AS SELECT id, uuid, change_type, amount, ts FROM movement_changes;

-- table, outer join

CREATE SINK booked WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.booked', format = 'json', key = 'id'
) AS SELECT m.id, m.account_id, m.kind, m.amount, a.region, a.owner
FROM movement m LEFT JOIN account a ON a.id = m.account_id;

-- table, inner join, reduce: with and without an inverse

CREATE VIEW regional AS
SELECT m.id, m.ts, m.kind, m.amount, a.region FROM movement m JOIN account a ON a.id = m.account_id;

CREATE SINK by_region WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.by_region', format = 'json', key = 'region'
) AS SELECT region, SUM(amount) AS total, COUNT(*) AS movements, MIN(amount) AS least, MAX(amount) AS most,
    COUNT(DISTINCT kind) AS kinds
FROM regional GROUP BY region;

-- table, window with a join in it, reduce

CREATE SINK regional_spans WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.regional_spans', format = 'json', key = 'region, span'
) AS SELECT a.region, w.window_start AS span, SUM(w.amount) AS total, COUNT(*) AS movements
FROM TABLE(TUMBLE(TABLE movement, DESCRIPTOR(ts), INTERVAL '10' SECOND)) w JOIN account a ON a.id = w.account_id
GROUP BY a.region, w.window_start, w.window_end;

-- dedup, window

CREATE VIEW kind_spans AS
SELECT kind, window_start AS span, SUM(amount) AS total, COUNT(*) AS events
FROM TABLE(TUMBLE(TABLE movement_seen, DESCRIPTOR(ts), INTERVAL '10' SECOND))
WHERE change_type <> 'delete' GROUP BY kind, window_start, window_end;

CREATE SINK spans WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.spans', format = 'json', key = 'kind, span'
) AS SELECT * FROM kind_spans;

-- dedup, window, reduce

CREATE SINK kinds WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.kinds', format = 'json', key = 'kind'
) AS SELECT kind, SUM(total) AS total, COUNT(*) AS spans, SUM(events) AS events FROM kind_spans GROUP BY kind;

-- table, union, distinct

CREATE SINK words WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.words', format = 'json', key = 'word'
) AS SELECT region AS word FROM account UNION SELECT kind AS word FROM movement;

-- What could not be used, as it is and as the input of an aggregate

CREATE SINK late WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.late', format = 'json'
) AS SELECT * FROM tidemill_late;

CREATE SINK late_counts WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.late_counts', format = 'json', key = 'topic'
) AS SELECT topic, COUNT(*) AS records FROM tidemill_late GROUP BY topic;

CREATE SINK dead WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.dead', format = 'json'
) AS SELECT * FROM tidemill_dead_letters;

CREATE SINK dead_counts WITH (
    connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA}',
    topic = 'chaos.dead_counts', format = 'json', key = 'topic'
) AS SELECT topic, COUNT(*) AS records FROM tidemill_dead_letters GROUP BY topic;
