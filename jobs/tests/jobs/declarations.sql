CREATE SOURCE order_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    customer_id BIGINT,
    region VARCHAR,
    amount DECIMAL(18, 2),
    weight DOUBLE,
    quantity INT NOT NULL,
    placed_at TIMESTAMP,
    ts TIMESTAMP METADATA FROM 'ts',
    uuid UUID METADATA FROM 'uuid',
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (envelope = 'crud', connector = 'files', path = '/data', topic = 'orders', entity = 'order');
CREATE SOURCE customer_events (
    id BIGINT NOT NULL METADATA FROM 'id',
    name VARCHAR,
    level INT,
    ts TIMESTAMP METADATA FROM 'ts'
) WITH (envelope = 'crud', connector = 'files', path = '/data', topic = 'customers');
CREATE TABLE orders (PRIMARY KEY (id)) FROM order_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY VERSION BY ts;
CREATE TABLE customers (PRIMARY KEY (id)) FROM customer_events TOMBSTONES FOR INTERVAL '1' HOUR;
CREATE STREAM order_changes FROM order_events DEDUPLICATE BY uuid WITHIN INTERVAL '1' DAY
    RESEQUENCE BY ts PER id WITHIN INTERVAL '5' SECOND;
CREATE STREAM customer_changes FROM customer_events;
