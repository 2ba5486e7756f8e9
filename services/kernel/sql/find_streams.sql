-- The streams that have all of some labels, by name.
-- Parameters  $1 labels, $2 at most so many.
-- Returns     stream.
-- Cost        the streams that have the labels, by their index. Locks: none.
SELECT s.stream
FROM stream AS s
WHERE s.labels @> CAST($1 AS text[])
ORDER BY s.stream
LIMIT $2
