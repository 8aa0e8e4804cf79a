-- column: s text
SELECT CAST(s AS DECIMAL(50, 2)) AS d FROM input
