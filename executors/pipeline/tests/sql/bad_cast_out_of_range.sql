-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":127}
-- record: {"a":128}
SELECT CAST(a AS TINYINT) AS t FROM input
