-- Arguments that are expressions become columns first; HAVING is a filter over the result.
CREATE SINK by_region WITH (connector = 'files', path = '/out', topic = 'a', key = 'region') AS
SELECT region, count(*) AS orders, count(weight) AS weighed, count(DISTINCT customer_id) AS customers, sum(amount) AS total,
       sum(amount * quantity) AS volume, avg(amount) AS mean, min(placed_at) AS first, max(placed_at) AS last, sum(weight) AS weight,
       sum(amount) FILTER (WHERE quantity > 1) AS bulk
FROM orders GROUP BY region HAVING count(*) > 2;
CREATE SINK whole WITH (connector = 'files', path = '/out', topic = 'b', key = 'orders') AS SELECT count(*) AS orders FROM orders;
CREATE SINK twice WITH (connector = 'files', path = '/out', topic = 'c', key = 'most') AS
SELECT max(orders) AS most FROM (SELECT customer_id, count(*) AS orders FROM orders GROUP BY customer_id) AS counts;
CREATE SINK groups WITH (connector = 'files', path = '/out', topic = 'd', key = 'region') AS SELECT region FROM orders GROUP BY region;
