-- A stream keeps its order; nobody reads the late ledger, so no bytes travel along.
CREATE SINK out WITH (connector = 'files', path = '/out', topic = 'x', key = 'id', envelope = 'plain') AS
SELECT * FROM order_changes WHERE change_type <> 'delete';
