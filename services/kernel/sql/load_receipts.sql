-- The first answers to events that were stored before.
-- Parameters  $1 sources, $2 ids, of equal length.
-- Returns     one row for each (source, id) that is stored: its digest and everything that its first answer held.
-- Cost        two index probes a receipt. Locks: none.
SELECT r.source, r.id, r.digest, r.stream, r.version, r.partition, r.implied, e.position, e.recorded_at, e.meta
FROM unnest(CAST($1 AS text[]), CAST($2 AS text[])) AS u (source, id)
JOIN receipt AS r ON r.source = u.source AND r.id = u.id
JOIN event AS e ON e.partition = r.partition AND e.stream = r.stream AND e.version = r.version
