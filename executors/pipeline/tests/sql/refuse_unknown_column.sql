-- column: a int
-- column: b int
-- column: x double
-- column: s text
SELECT a, carier
  FROM (SELECT a, s AS carrier FROM input) AS t
