-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":9,"b":3}
-- record: {"a":9,"b":0}
-- record: {}
SELECT CASE WHEN b = 0 THEN NULL ELSE a / b END AS q FROM input
