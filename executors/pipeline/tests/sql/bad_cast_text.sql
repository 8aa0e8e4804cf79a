-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"s":"12"}
-- record: {"s":"x"}
SELECT CAST(s AS INT) AS i, CAST(s AS DATE) AS d FROM input
