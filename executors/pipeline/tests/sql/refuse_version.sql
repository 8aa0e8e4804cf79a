-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT version() AS v FROM input
