-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":1,"b":2}
-- record: {"b":2}
-- record: {"a":2,"b":2,"s":"x"}
SELECT coalesce(a, b, 0) AS c, nullif(a, b) AS n, greatest(a, b) AS g, nvl(s, 'none') AS s FROM input
