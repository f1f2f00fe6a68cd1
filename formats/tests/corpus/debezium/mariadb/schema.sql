-- What the capture creates in MariaDB 10.11 before any connector starts.
CREATE TABLE payment (
    id         bigint PRIMARY KEY,
    budget_id  int NOT NULL,
    attempts   smallint DEFAULT 1,
    amount     decimal(18, 2),
    rate       decimal(38, 18),
    whole      decimal(20),
    fx         decimal(20, 10),
    score      double,
    weight     float,
    urgent     boolean DEFAULT false, -- tinyint(1)
    currency   char(3),
    payee      varchar(100) NOT NULL DEFAULT 'nobody',
    note       text,
    due_on     date,
    cutoff     time,
    cutoff6    time(6),
    created    datetime,
    changed    datetime(3),
    seen       datetime(6),
    at         timestamp NULL,
    at6        timestamp(6) NULL,
    ref        char(36),
    meta       json,                  -- longtext to MariaDB
    receipt    varbinary(64),
    photo      blob,
    nothing    text,                  -- null in every row
    state      enum('draft', 'sent', 'paid', 'it''s off') DEFAULT 'draft',
    flags      set('a', 'b', 'c'),
    big        text
) CHARACTER SET utf8mb4;

-- A composite key, in another order than the columns.
CREATE TABLE ledger (
    seq     int,
    account varchar(20),
    amount  decimal(18, 2) NOT NULL,
    memo    text,
    PRIMARY KEY (account, seq)
) CHARACTER SET utf8mb4;

-- No key at all.
CREATE TABLE journal (what varchar(20), amount decimal(10, 2));
