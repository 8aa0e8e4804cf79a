-- column: a int
-- column: b int
-- column: x double
-- column: s text
-- record: {"a":1,"b":2,"x":0.1,"s":"t"}
SELECT * EXCEPT (b, x), _offset AS o FROM input
