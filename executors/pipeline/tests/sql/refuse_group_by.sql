-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT a
FROM input
GROUP BY a, b
