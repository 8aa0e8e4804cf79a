-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"x":2.5}
-- record: {"x":-2.5}
SELECT CAST(round(x) AS INT) AS i, CAST(floor(x) AS BIGINT) AS f FROM input
