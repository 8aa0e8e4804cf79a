-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT uper(s) AS s FROM input
