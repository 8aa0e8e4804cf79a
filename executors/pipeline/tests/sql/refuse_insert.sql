-- column: a int
-- column: b int
-- column: x double
-- column: s text
INSERT INTO input VALUES (1)
