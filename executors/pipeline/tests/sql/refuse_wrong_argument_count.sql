-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT upper(s, s) AS u FROM input
