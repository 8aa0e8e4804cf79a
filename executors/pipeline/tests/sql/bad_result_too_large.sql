-- column: a text
-- column: n bigint
-- record: {"a": "ab", "n": 3}
-- record: {"a": "ab", "n": 300000000}
-- record: {"a": "ab", "n": 9223372036854775807}
SELECT octet_length(repeat(a, n)) AS r, octet_length(lpad(a, n, 'é')) AS l, octet_length(replace(repeat(a, n), 'b', repeat('x', n))) AS s FROM input
