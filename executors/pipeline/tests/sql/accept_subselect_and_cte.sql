-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":9,"b":3,"x":1}
-- record: {"a":9,"b":0,"x":1}
-- record: {"a":9,"b":3,"x":0}
-- record: {"a":1,"b":3,"x":1}
WITH pos AS (SELECT a, b, x AS y FROM input WHERE b <> 0), q AS (SELECT a / b AS q, y FROM pos)
SELECT q, q + 1 AS r FROM (SELECT q, y FROM q WHERE y > 0.5) AS t WHERE q > 1
