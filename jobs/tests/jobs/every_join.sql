-- Keys of other types are cast, equal names are told apart, a residual of an inner join is a filter.
CREATE SINK inner_join WITH (connector = 'files', path = '/out', topic = 'a', key = 'id') AS
SELECT o.id, c.name FROM orders o JOIN customers c ON o.customer_id = c.id AND o.quantity > c.level;
CREATE SINK left_join WITH (connector = 'files', path = '/out', topic = 'b', key = 'id') AS
SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON o.quantity = c.id AND c.level > 3;
CREATE SINK right_join WITH (connector = 'files', path = '/out', topic = 'c', key = 'id') AS
SELECT c.id, o.amount FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id;
CREATE SINK full_join WITH (connector = 'files', path = '/out', topic = 'd', key = 'order_id, customer_id') AS
SELECT o.id AS order_id, c.id AS customer_id FROM orders o FULL JOIN customers c ON o.customer_id = c.id;
CREATE SINK old_join WITH (connector = 'files', path = '/out', topic = 'e', key = 'id') AS
SELECT o.id, c.name FROM orders o, customers c WHERE o.customer_id = c.id AND c.level = 1;
CREATE SINK self_join WITH (connector = 'files', path = '/out', topic = 'f', key = 'a, b') AS
SELECT x.id AS a, y.id AS b FROM orders x JOIN orders y ON x.customer_id = y.customer_id WHERE x.id < y.id;
CREATE SINK using_join WITH (connector = 'files', path = '/out', topic = 'g', key = 'id') AS
SELECT id, name, amount FROM orders JOIN customers USING (id);
