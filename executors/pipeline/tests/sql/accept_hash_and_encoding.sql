-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"s":"aGk="}
-- record: {"s":"%"}
SELECT encode(sha256(s), 'hex') AS h, md5(s) AS m, decode(s, 'base64') AS d FROM input
