-- column: t timestamp
-- record: {"t": 253402300799000}
-- record: {"t": "1500-06-15T12:00:00Z"}
SELECT date_trunc('day', t) AS a, date_part('month', t) AS b FROM input
