-- A history that another connector reads, and what goes on from it; a secret of it is nowhere to be read.
CREATE SOURCE payments (id BIGINT NOT NULL, amount DECIMAL(18, 2))
WITH (connector = 'kafka', bootstrap.servers = 'broker:9092', topic = 'payments', format = 'json',
      backfill.connector = 'kafka', backfill.bootstrap.servers = 'archive:9092', backfill.topic = 'payments-2025', backfill.sasl.password = 'hunter2');
CREATE STREAM every_payment FROM payments;
CREATE SINK copies WITH (connector = 'kafka', bootstrap.servers = 'broker:9092', topic = 'copies') AS SELECT id, amount FROM every_payment;
