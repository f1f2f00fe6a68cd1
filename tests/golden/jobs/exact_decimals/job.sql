-- Money is never floating point: tenths add up, cents of 36 digits stay, and what is too fine or too large is refused.
-- A group with a sum that no DECIMAL can hold has no row, and no other number; one that comes back into range is exact. An average is cut,
-- not rounded.
CREATE SOURCE account_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    owner VARCHAR,
    amount DECIMAL(18, 2),
    rate DECIMAL(9, 6),
    huge DECIMAL(38, 2),
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'accounts', entity = 'account', format = 'json', envelope = 'crud');
CREATE TABLE account (PRIMARY KEY (id)) FROM account_events VERSION BY ts;
CREATE SINK owners WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'owners', format = 'json', key = 'owner') AS
SELECT owner, sum(amount) AS total, avg(amount) AS mean, min(amount) AS least, max(amount) AS most, count(*) AS accounts FROM account GROUP BY owner;
CREATE SINK interest WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'interest', format = 'json', key = 'id') AS
SELECT id, amount, amount * rate AS interest, amount + 0.001 AS finer, huge, -huge AS owed, amount = 0.30 AS is_thirty_cents FROM account;
CREATE SINK hoards WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'hoards', format = 'json', key = 'owner') AS
SELECT owner, sum(huge) AS total FROM account WHERE huge IS NOT NULL GROUP BY owner;
CREATE SINK hoard_means WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'hoard_means', format = 'json', key = 'owner') AS
SELECT owner, avg(huge) AS mean FROM account WHERE huge IS NOT NULL GROUP BY owner;
CREATE SINK distinct_hoards WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'distinct_hoards', format = 'json', key = 'owner') AS
SELECT owner, sum(huge) AS total, sum(DISTINCT huge) AS once FROM account WHERE huge IS NOT NULL GROUP BY owner;
CREATE SINK refused WITH (connector = 'files', path = '${TIDEMILL_DATA}', topic = 'refused', format = 'json') AS
SELECT topic, "partition", "offset", reason FROM tidemill_dead_letters WHERE topic = 'accounts';
