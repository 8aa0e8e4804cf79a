-- column: value text
-- record: {"value": "x"}
SELECT value FROM input
