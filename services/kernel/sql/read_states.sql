-- The states that events of a range made and that still stand, for several partitions at once.
-- Parameters  $1 partitions, $2 positions after which each range begins, $3 positions up to which it goes.
-- Returns     (partition, position, stream, version, recorded_at, state) by (partition, position): one row for every stream
--             whose newest event lies in the range. A stream that has moved on is met again at the event that moved it.
-- Cost        one range of event's primary key a partition, one look at stream's primary key an event. Locks: none.
SELECT e.partition, e.position, e.stream, e.version, e.recorded_at, s.state
FROM unnest(CAST($1 AS smallint[]), CAST($2 AS bigint[]), CAST($3 AS bigint[])) AS u (partition, after, through)
CROSS JOIN LATERAL (
    SELECT x.partition, x.position, x.stream, x.version, x.recorded_at
    FROM event AS x
    WHERE x.partition = u.partition AND x.position > u.after AND x.position <= u.through
    ORDER BY x.position
) AS e
-- the limit keeps the planner at one look an event, however large it believes the range
CROSS JOIN LATERAL (
    SELECT y.state FROM stream AS y WHERE y.stream = e.stream AND y.version = e.version LIMIT 1
) AS s
ORDER BY e.partition, e.position
