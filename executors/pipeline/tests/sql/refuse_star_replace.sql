-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT * REPLACE (1 AS a) FROM input
