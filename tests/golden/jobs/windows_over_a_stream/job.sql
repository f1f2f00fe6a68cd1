-- Every event counts once, a repeated one never; the hour that is not over is not there. What still waits to be put in order is in no window.
CREATE SOURCE click_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    page VARCHAR,
    amount DECIMAL(18, 2),
    ts TIMESTAMP METADATA FROM 'ts',
    uuid VARCHAR METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'clicks', entity = 'click', format = 'json', envelope = 'crud', watermark.idle-timeout = '1 day', watermark.allowed-lateness = '1 day');
CREATE STREAM click FROM click_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY;
CREATE STREAM ordered FROM click_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY RESEQUENCE BY ts PER id WITHIN INTERVAL '10' MINUTE;
CREATE SINK hourly WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'hourly', format = 'json', key = 'page, hour') AS
SELECT page, window_start AS hour, sum(amount) AS total, count(*) AS clicks
FROM TABLE(TUMBLE(TABLE click, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY page, window_start, window_end;
CREATE SINK ordered_hourly WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'ordered_hourly', format = 'json', key = 'page, hour') AS
SELECT page, window_start AS hour, sum(amount) AS total, count(*) AS clicks
FROM TABLE(TUMBLE(TABLE ordered, DESCRIPTOR(ts), INTERVAL '1' HOUR)) WHERE change_type = 'create' GROUP BY page, window_start, window_end;
