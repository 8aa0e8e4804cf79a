-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT i.a FROM input i JOIN input j ON i.a = j.a
