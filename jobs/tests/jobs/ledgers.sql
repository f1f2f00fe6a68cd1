-- The late ledger carries the bytes of the resequenced source alone.
CREATE SINK audit WITH (connector = 'files', path = '/out', topic = 'a') AS SELECT id, change_type FROM order_changes;
CREATE SINK names WITH (connector = 'files', path = '/out', topic = 'b', key = 'id') AS SELECT id, name FROM customers;
CREATE SINK late WITH (connector = 'files', path = '/out', topic = 'c') AS SELECT * FROM tidemill_late;
CREATE SINK dead WITH (connector = 'files', path = '/out', topic = 'd') AS SELECT topic, partition, "offset", reason FROM tidemill_dead_letters;
