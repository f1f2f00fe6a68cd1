-- Integer arithmetic that leaves its type: the row is a dead letter that names the expression and its place; the others are computed.
CREATE SOURCE number_events (id BIGINT NOT NULL METADATA FROM 'id', qty INT, big BIGINT)
WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'n', format = 'json', envelope = 'crud');
CREATE TABLE numbers (PRIMARY KEY (id)) FROM number_events;
CREATE SINK out_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'out', format = 'json', key = 'id') AS
SELECT id, qty * qty AS square, big + 1 AS next FROM numbers;
CREATE SINK dead_sink WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'dead', format = 'json') AS SELECT reason FROM tidemill_dead_letters;
