-- column: l list<double>
SELECT CAST(l AS INT[]) AS i FROM input
