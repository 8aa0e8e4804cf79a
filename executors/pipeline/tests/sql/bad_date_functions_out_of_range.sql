-- column: t timestamp
-- record: {"t": "2019-08-07T12:34:56Z"}
-- record: {"t": 253402300799000}
-- record: {"t": "1500-06-15T12:00:00Z"}
SELECT date_trunc('day', t) AS a, date_trunc('month', t) AS b, date_bin(INTERVAL '1 hour', t) AS c, to_char(t, '%Y') AS d FROM input
