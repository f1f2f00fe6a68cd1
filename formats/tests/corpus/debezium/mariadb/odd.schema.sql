-- Values that few expect; captured by connectors of their own.
CREATE TABLE odd (
    id    int PRIMARY KEY,
    u8    tinyint unsigned,
    i24   mediumint,
    u32   int unsigned,
    u64   bigint unsigned,
    day   date,
    t     time,
    t3    time(3),
    dt    datetime(6),
    dt3   datetime(3),
    at    timestamp(6) NULL,
    yr    year,
    bits  bit(12),
    bit1  bit(1),
    tiny2 tinyint(2),
    d65   decimal(65, 30),
    d     double,
    bin   binary(8),
    latin varchar(20) CHARACTER SET latin1,
    uid   uuid,                 -- an inet6 column stops the connector: its parser does not know the type
    pt    point,
    lng   longtext
) CHARACTER SET utf8mb4;

-- A column of each type whose schema depends on the connector's settings.
CREATE TABLE types (
    id  int PRIMARY KEY,
    n   decimal(20),
    n2  decimal(10, 2),
    u64 bigint unsigned,
    day date,
    t0  time,
    t3  time(3),
    t6  time(6),
    dt0 datetime,
    dt3 datetime(3),
    dt6 datetime(6),
    at0 timestamp NULL,
    at3 timestamp(3) NULL,
    at6 timestamp(6) NULL,
    yr  year
);
