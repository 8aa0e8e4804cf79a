-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT a FROM input WHERE CAST(_timestamp AS DATE) = current_date
