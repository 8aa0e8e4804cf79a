-- column: l list<int>
-- record: {"l":[1]}
SELECT CAST(l AS BIGINT[]) AS i FROM input
