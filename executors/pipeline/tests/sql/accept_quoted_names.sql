-- column: dayOfWeek int
-- record: {"dayOfWeek":3}
SELECT "dayOfWeek", "dayOfWeek" * 2 AS "Twice" FROM input
