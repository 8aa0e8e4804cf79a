-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":2,"s":"x","b":0}
-- record: {"a":2,"s":"z","b":0}
-- record: {"a":5,"s":"x","b":0}
-- record: {"a":3,"s":"y","b":1}
-- record: {"a":3,"s":"y"}
SELECT a FROM input WHERE a BETWEEN 2 AND 4 AND s IN ('x', 'y') AND NOT b = 1
