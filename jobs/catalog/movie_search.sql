-- Keyword search over a studio's films: titles, talent and deals are tables of PostgreSQL, read from its own log; what is searched is a document for
-- each credit. Beside it, committed together: every change of a talent for the auditors, and the large deals for finance.
--
--   tidemill run jobs/catalog/movie_search.sql --state-dir DIR     (scripts/demo-search.sh makes the tables, and shows a search)

CREATE SOURCE title_changes (
    id BIGINT NOT NULL, name VARCHAR, released INT, synopsis VARCHAR
) WITH (
    connector = 'postgres', url = '${MOVIES_URL}', user = '${MOVIES_USER:-postgres}', password = '${MOVIES_PASSWORD}',
    table = 'title', slot = 'movie_search_title', format = 'json', envelope = 'debezium'
);

CREATE SOURCE talent_changes (
    id BIGINT NOT NULL, name VARCHAR, changed_at TIMESTAMP METADATA FROM 'ts'
) WITH (
    connector = 'postgres', url = '${MOVIES_URL}', user = '${MOVIES_USER:-postgres}', password = '${MOVIES_PASSWORD}',
    table = 'talent', slot = 'movie_search_talent', format = 'json', envelope = 'debezium'
);

CREATE SOURCE deal_changes (
    id BIGINT NOT NULL, title_id BIGINT, talent_id BIGINT, role VARCHAR, fee DECIMAL(18, 2)
) WITH (
    connector = 'postgres', url = '${MOVIES_URL}', user = '${MOVIES_USER:-postgres}', password = '${MOVIES_PASSWORD}',
    table = 'deal', slot = 'movie_search_deal', format = 'json', envelope = 'debezium'
);

CREATE TABLE title (PRIMARY KEY (id)) FROM title_changes;
CREATE TABLE talent (PRIMARY KEY (id)) FROM talent_changes;
CREATE TABLE deal (PRIMARY KEY (id)) FROM deal_changes;
CREATE STREAM talent_history FROM talent_changes;

CREATE VIEW credit AS
    SELECT d.id AS id, t.name AS title, t.released AS released, t.synopsis AS synopsis, p.name AS talent, d.role AS role
    FROM deal AS d JOIN title AS t ON d.title_id = t.id JOIN talent AS p ON d.talent_id = p.id;

CREATE VIEW large_deal AS SELECT id, title_id, talent_id, fee FROM deal WHERE fee >= 1000000.00;

CREATE SINK credit_index WITH (connector = 'search', url = '${SEARCH_URL}', index = 'credit', key = 'id')
    AS SELECT * FROM credit;

CREATE SINK talent_audit WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}', topic = 'movies.talent-audit')
    AS SELECT id, name, changed_at, change_type FROM talent_history;

CREATE SINK large_deals WITH (connector = 'kafka', bootstrap.servers = '${TIDEMILL_KAFKA:-127.0.0.1:9092}', topic = 'movies.large-deals', key = 'id')
    AS SELECT * FROM large_deal;
