-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT random() AS r FROM input
