-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"s":"1"}
-- record: {"s":"x"}
SELECT TRY_CAST(s AS INT) AS i FROM input
