-- column: table text
-- record: {"table": "x"}
SELECT table FROM input
