-- column: a bigint
-- record: {"a":9223372036854775806}
-- record: {"a":9223372036854775807}
SELECT a + 1 AS big FROM input
