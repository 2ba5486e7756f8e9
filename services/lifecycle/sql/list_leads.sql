-- A page of leads in order of their names.
-- Parameters  $1 after this stream, $2 stage or null, $3 owner or null, $4 at most so many.
-- Returns     stream, partition, version, state.
-- Cost        a range of the primary key; with a filter, as much of it as holds $4 matches. Locks: none.
SELECT s.stream, s.partition, s.version, s.state
FROM stream AS s
WHERE s.stream > $1 AND s.stream < 'lead0'
    AND (CAST($2 AS text) IS NULL OR s.state -> 'fold' ->> 'stage' = $2)
    AND (CAST($3 AS text) IS NULL OR s.state -> 'fold' ->> 'owner' = $3)
ORDER BY s.stream
LIMIT $4
