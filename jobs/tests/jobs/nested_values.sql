-- Structs, arrays and maps: every spelling of their types, and their parts.
CREATE SOURCE parcel_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    address STRUCT<city VARCHAR, "zipCode" INT>,
    sender ROW(name VARCHAR, phones VARCHAR ARRAY),
    items ARRAY<STRUCT<sku VARCHAR, price DECIMAL(18, 2), sizes INT[]>>,
    weights DOUBLE[][],
    labels MAP<VARCHAR, ARRAY<DATE>> NOT NULL,
    counts MAP(VARCHAR, BIGINT) FROM 'by.label'
) WITH (envelope = 'crud', connector = 'files', path = '/data', topic = 'parcels');
CREATE TABLE parcels (PRIMARY KEY (id)) FROM parcel_events;
CREATE SINK whole WITH (connector = 'files', path = '/out', topic = 'whole', key = 'id') AS SELECT * FROM parcels;
CREATE SINK parts WITH (connector = 'files', path = '/out', topic = 'parts', key = 'id') AS
SELECT id, address.city, p.address['zipCode'], items[1].price * 2 AS doubled, weights[1][2] AS weight, labels['x'][1] AS day,
    counts['a'] + cardinality(counts) AS n, sender.phones
FROM parcels p WHERE sender.phones[-1] IS NOT NULL;
