-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"x":2.0}
-- record: {"x":2.5}
-- record: {"x":2.25}
-- record: {"x":1e300}
SELECT CAST(x AS INT) AS i, CAST(CAST(x AS DECIMAL(10, 3)) AS DECIMAL(10, 1)) AS d FROM input
