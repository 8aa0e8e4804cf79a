-- column: l list<int>
SELECT l[1] AS x FROM input
