-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT * FROM generate_series(1, 3)
