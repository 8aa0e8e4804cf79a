-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":1,"b":0}
-- record: {"a":7,"b":2}
-- record: {"a":null,"b":2}
SELECT a / b AS q, a % b AS m FROM input
