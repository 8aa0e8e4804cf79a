-- column: a text
-- record: {"a": "abcdefgh"}
WITH t1 AS (SELECT a || a || a || a || a || a || a || a AS a FROM input), t2 AS (SELECT repeat(a, 1000) AS a FROM t1), t3 AS (SELECT concat(a, a, a, a, a, a, a, a, a, a) AS a FROM t2), t4 AS (SELECT concat(a, a, a, a, a, a, a, a, a, a) AS a FROM t3), t5 AS (SELECT a || a || a AS a FROM t4) SELECT octet_length(a) AS n FROM t5
