-- column: t timestamp
-- column: a bigint
-- record: {"t":"2013-01-01T05:00:00-05:00","a":1357016400000}
-- record: {"t":1357016400000,"a":-1}
SELECT date_part('hour', t) AS h, EXTRACT(DOW FROM t) AS dow, date_trunc('day', t) AS d, CAST(t AS DATE) AS day, to_timestamp_millis(a) AS at, t + INTERVAL '1 day' AS next FROM input
