-- column: to text
-- record: {"to": "x"}
SELECT to FROM input
