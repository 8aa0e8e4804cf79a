-- column: order text
-- record: {"order": "x"}
SELECT order FROM input
