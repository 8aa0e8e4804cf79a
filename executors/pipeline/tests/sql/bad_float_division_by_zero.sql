-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":1,"x":0}
-- record: {"a":1,"x":-0.0}
-- record: {}
SELECT a / x AS q, x / 0.0 > 1 AS never FROM input
