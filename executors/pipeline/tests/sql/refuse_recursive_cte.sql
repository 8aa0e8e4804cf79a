-- column: a int
-- column: b int
-- column: x double
-- column: s text
WITH RECURSIVE r AS (SELECT a FROM input) SELECT a FROM r
