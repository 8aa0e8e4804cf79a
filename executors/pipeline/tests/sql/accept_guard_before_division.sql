-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":9,"b":3}
-- record: {"a":9,"b":0}
-- record: {"a":1,"b":3}
SELECT a / b AS q FROM input WHERE b <> 0 AND a / b > 1
