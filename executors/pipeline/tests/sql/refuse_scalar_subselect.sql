-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT (SELECT 1) AS x FROM input
