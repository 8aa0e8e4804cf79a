-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT a + true AS x FROM input
