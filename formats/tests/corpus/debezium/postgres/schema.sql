-- What the capture creates in PostgreSQL 15 before any connector starts.
CREATE TYPE payment_state AS ENUM ('draft', 'sent', 'paid', 'it''s off');

-- Replica identity as it is by default: an old row is its primary key alone.
CREATE TABLE payment (
    id         bigint PRIMARY KEY,
    budget_id  integer NOT NULL,
    attempts   smallint DEFAULT 1,
    amount     numeric(18, 2),
    rate       numeric,              -- no scale: each value has its own
    fx         numeric(20, 10),
    score      double precision,
    weight     real,
    urgent     boolean DEFAULT false,
    currency   char(3),
    payee      varchar(100) NOT NULL DEFAULT 'nobody',
    note       text,
    due_on     date,
    cutoff     time,
    created    timestamp(0),
    changed    timestamp(3),
    seen       timestamp(6),
    at         timestamptz,
    ref        uuid,
    meta       json,
    metab      jsonb,
    receipt    bytea,
    nothing    text,                 -- null in every row
    tags       text[],
    state      payment_state DEFAULT 'draft',
    big        text                  -- stored out of line from 2 kB on
);
ALTER TABLE payment ALTER COLUMN big SET STORAGE EXTERNAL;

-- The same columns with whole old rows.
CREATE TABLE payment_full (LIKE payment INCLUDING ALL);
ALTER TABLE payment_full REPLICA IDENTITY FULL;

-- A composite key, in another order than the columns.
CREATE TABLE ledger (
    seq     integer,
    account varchar(20),
    amount  numeric(18, 2) NOT NULL,
    memo    text,
    PRIMARY KEY (account, seq)
);

-- No key at all.
CREATE TABLE journal (what text, amount numeric(10, 2));
ALTER TABLE journal REPLICA IDENTITY FULL;
