-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT row_number() OVER (ORDER BY a) AS n FROM input
