-- A page of the streams of one kind in order of their names.
-- Parameters  $1 after this stream, $2 before this name (the kind and the character after the slash), $3 labels that all must be
--             there, $4 at most so many.
-- Returns     stream, partition, version, state.
-- Cost        the streams that have the labels, by their index, or the range of the primary key where most of them have: the
--             planner must see the values, so the pool for reads plans anew each time. Locks: none.
SELECT s.stream, s.partition, s.version, s.state
FROM stream AS s
WHERE s.stream > $1 AND s.stream < $2 AND s.labels @> CAST($3 AS text[])
ORDER BY s.stream
LIMIT $4
