-- column: d decimal(10, 2)
-- record: {"d":12.34}
-- record: {"d":-0.1}
-- record: {"d":1.005}
SELECT d * 2 AS twice, d + 0.5 AS more, CAST(d AS DECIMAL(12, 4)) AS wide, round(d, 1) AS r FROM input
