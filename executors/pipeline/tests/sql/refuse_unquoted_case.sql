-- column: dayOfWeek int
SELECT dayOfWeek FROM input
