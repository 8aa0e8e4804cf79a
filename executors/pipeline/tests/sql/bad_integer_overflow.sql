-- column: a int
-- column: b int
-- record: {"a":1,"b":1}
-- record: {"a":2147483647,"b":2}
-- record: {"a":-2147483648,"b":1}
SELECT a + 2147483647 AS big, a * b AS m, -a AS n, a - b AS d FROM input
