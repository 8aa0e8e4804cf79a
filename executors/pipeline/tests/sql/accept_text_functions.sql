-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"s":"abcde"}
-- record: {"s":" é "}
SELECT substr(s, 2, 3) AS a, position('c' IN s) AS p, trim(s) AS t, s || '!' AS e, split_part(s, 'c', 1) AS sp, regexp_replace(s, '[aeiou]', '_', 'g') AS r, length(s) AS n, s LIKE 'a%' AS l, lpad(s, 8, '.') AS pad FROM input
