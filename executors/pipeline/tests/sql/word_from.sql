-- column: from text
-- record: {"from": "x"}
SELECT from FROM input
