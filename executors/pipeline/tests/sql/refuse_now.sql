-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT a, now() AS t FROM input
