-- All events of some streams of one placement, for a refold.
-- Parameters  $1 partitions, $2 streams, of equal length.
-- Returns     events by (stream, version).
-- Cost        one range of the version index a stream. Locks: none.
SELECT e.partition, e.position, e.stream, e.version, e.type, e.source, e.id, e.occurred_at, e.recorded_at, e.data, e.meta
FROM unnest(CAST($1 AS smallint[]), CAST($2 AS text[])) AS u (partition, stream)
JOIN event AS e ON e.partition = u.partition AND e.stream = u.stream
ORDER BY e.stream, e.version
