-- The folds of streams, for a batch that is about to be decided.
-- Parameters  $1 names of streams.
-- Returns     one row for each stream that exists: stream, version, state.
-- Cost        one index probe a stream. Locks: none.
SELECT s.stream, s.version, s.state
FROM unnest(CAST($1 AS text[])) AS u (stream)
JOIN stream AS s ON s.stream = u.stream
