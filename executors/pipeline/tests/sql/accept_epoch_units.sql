-- column: s timestamp(s)
-- column: u timestamp(us)
-- column: d decimal(10, 2)
-- record: {"s": 1565179200.5, "u": 1565179200500000, "d": "1.50"}
-- record: {"s": 1565179200500, "d": 1}
-- record: {"u": 1565179200500001, "d": 1}
-- record: {"s": "2019-08-07T12:00Z", "d": "1.555"}
-- record: {"s": "2019-08-07T12:00Z", "d": "1E+2"}
SELECT s, u, d FROM input
