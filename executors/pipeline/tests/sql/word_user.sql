-- column: user text
-- record: {"user": "x"}
SELECT user FROM input
