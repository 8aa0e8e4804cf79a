-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT a FROM (SELECT a FROM input LIMIT 10) AS t
