-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT 1 AS x FROM input, input AS other
