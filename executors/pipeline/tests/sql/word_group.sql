-- column: group text
-- record: {"group": "x"}
SELECT group FROM input
