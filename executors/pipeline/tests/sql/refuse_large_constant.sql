-- column: a text
-- record: {"a": "x"}
SELECT repeat('x', 1000000000) AS b FROM input
