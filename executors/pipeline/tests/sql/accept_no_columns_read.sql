-- record: {}
-- record: []
-- record: {"a":
SELECT _offset FROM input
