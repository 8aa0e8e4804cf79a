-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":1,"b":1,"s":"x"}
-- record: {"a":2,"b":5,"s":"ö"}
-- record: {"a":3,"b":null,"s":"z"}
-- record: {"a":4,"b":1}
SELECT a, b + 1 AS c, upper(s) AS s FROM input WHERE a > 1 AND s IS NOT NULL;
