-- column: t text
-- column: f double
-- column: d decimal(10, 3)
-- record: {"t": "1.5", "f": 0.1, "d": 1.5}
-- record: {"t": "1.55", "f": 0.1, "d": 1.5}
-- record: {"t": "1.5", "f": 0.15, "d": 1.5}
-- record: {"t": "1.5", "f": 1, "d": "1.555"}
-- record: {"t": "9999999999", "f": 1, "d": 1}
-- record: {"t": "x", "f": 1, "d": 1}
SELECT TRY_CAST(t AS DECIMAL(10, 1)) AS t, TRY_CAST(f AS INT) AS f, TRY_CAST(d AS DECIMAL(10, 1)) AS d FROM input
