-- Values that few expect; captured by connectors of their own.
CREATE TABLE odd (
    id   integer PRIMARY KEY,
    n    numeric,
    n2   numeric(10, 2),
    d    double precision,
    f    real,
    day  date,
    ts   timestamp,
    ts3  timestamp(3),
    tz   timestamptz,
    t    time,
    t3   time(3),
    ttz  timetz,
    span interval,
    bits bit(12),
    bit1 bit(1),
    cash money,
    ints integer[],
    nums numeric(10, 2)[],
    addr inet,
    pt   point,
    days daterange
);
ALTER TABLE odd REPLICA IDENTITY FULL;

-- A column of each type whose schema depends on the connector's settings.
CREATE TABLE types (
    id   integer PRIMARY KEY,
    n    numeric,
    n2   numeric(10, 2),
    cash money,
    nums numeric(10, 2)[],
    day  date,
    t0   time(0),
    t3   time(3),
    t6   time(6),
    ttz  timetz,
    ts0  timestamp(0),
    ts3  timestamp(3),
    ts6  timestamp(6),
    tz3  timestamptz(3),
    tz6  timestamptz(6),
    tss  timestamp(6)[]
);
