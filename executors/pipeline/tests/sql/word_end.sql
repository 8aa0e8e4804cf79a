-- column: end text
-- record: {"end": "x"}
SELECT end FROM input
