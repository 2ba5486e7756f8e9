-- A page of a partition in order: the reader's whole protocol is "position > n".
-- Parameters  $1 partition, $2 after this position, $3 at most so many.
-- Returns     events by position, dense from $2 + 1.
-- Cost        one range of the primary key. Locks: none.
SELECT e.partition, e.position, e.stream, e.version, e.type, e.source, e.id, e.occurred_at, e.recorded_at, e.data, e.meta
FROM event AS e
WHERE e.partition = $1 AND e.position > $2
ORDER BY e.position
LIMIT $3
