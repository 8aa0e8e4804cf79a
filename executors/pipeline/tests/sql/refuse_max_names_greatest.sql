-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT max(a) AS m FROM input
