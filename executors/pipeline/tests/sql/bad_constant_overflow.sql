-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":0}
-- record: {"a":1}
SELECT CASE WHEN a > 0 THEN 9223372036854775807 + 1 ELSE 0 END AS big FROM input
