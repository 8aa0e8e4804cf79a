-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {}
SELECT 1 AS one, 'x' AS t, NULL AS n, 1.5 AS f, true AS b FROM input
