-- column: l list<int>
-- column: ll list<list<text>>
-- record: {"l":[1,null,3],"ll":[["a"],[],null]}
-- record: {"l":[]}
-- record: {"l":[1.5]}
SELECT l, ll FROM input
