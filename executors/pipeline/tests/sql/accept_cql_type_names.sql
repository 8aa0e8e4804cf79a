-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":1,"x":0.1}
-- record: {"a":300}
-- record: {"s":"2013-01-01T00:00:00Z"}
-- record: {"s":"tomorrow"}
SELECT CAST(a AS TINYINT) AS t, CAST(s AS BLOB) AS b, CAST(a AS TEXT) AS s, CAST(x AS FLOAT) AS f, CAST(s AS TIMESTAMP(3)) AS ts FROM input
