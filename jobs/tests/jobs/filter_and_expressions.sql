-- Filters and expressions stay under the projection; literals with a point are exact.
CREATE SINK out WITH (connector = 'files', path = '/out', topic = 'x', key = 'id') AS
SELECT id, amount * 1.2 AS gross, upper(trim(region)) AS region, CASE WHEN weight > 10 THEN 'heavy' ELSE 'light' END AS class,
       CAST(placed_at AS DATE) AS day, EXTRACT(MONTH FROM placed_at) AS month, substr(region, 1, 2) AS prefix
FROM orders WHERE amount > 100 AND region IN ('north', 'south') AND placed_at >= TIMESTAMP '2024-01-01 00:00:00';
