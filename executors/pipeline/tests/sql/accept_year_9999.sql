-- column: t timestamp
-- column: x text
-- record: {"t": 253402300799000, "x": "9999-12-31T23:59:59Z"}
-- record: {"t": "0001-01-01T00:00:00Z", "x": "1500-06-15 12:00:00"}
SELECT TIMESTAMP '9999-12-31 00:00:00' AS a, CAST(x AS TIMESTAMP) AS b, t < TIMESTAMP '9999-12-31 00:00:00' AS c, t < '9999-12-31' AS d, date_part('year', t) AS e, t - INTERVAL '1 day' AS f FROM input
