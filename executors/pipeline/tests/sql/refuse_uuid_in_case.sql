-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT CASE WHEN a > 0 THEN uuid() END AS u FROM input
