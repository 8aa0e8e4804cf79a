-- column: key text
-- record: {"key": "x"}
SELECT key FROM input
