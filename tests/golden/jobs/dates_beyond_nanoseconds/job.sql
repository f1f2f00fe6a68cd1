-- 9999-12-31 stands for "without an end": every time is in its bucket, the sums of the groups add up, and nothing is a dead letter.
CREATE SOURCE contract_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    amount DECIMAL(18, 2),
    valid_to TIMESTAMP,
    due_on DATE,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'contracts', entity = 'contract', format = 'json', envelope = 'crud');
CREATE TABLE contract (PRIMARY KEY (id)) FROM contract_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE SINK total_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'total', format = 'json', key = 'scope') AS
SELECT 'all' AS scope, count(*) AS n, sum(amount) AS total FROM contract;
CREATE SINK by_day_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_day', format = 'json', key = 'day') AS
SELECT date_trunc('day', valid_to) AS day, sum(amount) AS total FROM contract GROUP BY date_trunc('day', valid_to);
CREATE SINK by_month_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_month', format = 'json', key = 'month') AS
SELECT date_trunc('month', valid_to) AS month, sum(amount) AS total FROM contract GROUP BY date_trunc('month', valid_to);
CREATE SINK by_bin_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_bin', format = 'json', key = 'bin') AS
SELECT date_bin(INTERVAL '15 minutes', valid_to) AS bin, sum(amount) AS total FROM contract GROUP BY date_bin(INTERVAL '15 minutes', valid_to);
CREATE SINK by_due_month_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'by_due_month', format = 'json', key = 'month') AS
SELECT CAST(date_trunc('month', due_on) AS DATE) AS month, sum(amount) AS total FROM contract GROUP BY CAST(date_trunc('month', due_on) AS DATE);
CREATE SINK dead_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead', format = 'json') AS
SELECT reason FROM tidemill_dead_letters;
