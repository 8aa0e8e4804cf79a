-- column: a int
-- record: {"a":1}
SELECT i.*, i._partition AS p FROM input AS i
