-- A page of leads in order of their names.
-- Parameters  $1 after this stream, $2 labels that all must be there, $3 at most so many.
-- Returns     stream, partition, version, state.
-- Cost        the leads that have the labels, by their index, or the range of the primary key where most leads have them:
--             the planner must see the values, so the pool for reads plans anew each time. Locks: none.
SELECT s.stream, s.partition, s.version, s.state
FROM stream AS s
WHERE s.stream > $1 AND s.stream < 'lead0' AND s.labels @> CAST($2 AS text[])
ORDER BY s.stream
LIMIT $3
