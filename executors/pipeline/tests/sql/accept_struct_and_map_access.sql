-- column: p struct<city text, zip int>
-- column: m map<text, int>
-- record: {"p":{"city":"Ulm","zip":89073},"m":{"k":1,"l":2}}
-- record: {"p":null,"m":{}}
-- record: {"p":{"zip":"x"}}
SELECT p['city'] AS city, p.zip AS zip, m['k'] AS k FROM input
