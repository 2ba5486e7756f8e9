-- The next page of several partitions at once, for the relay.
-- Parameters  $1 partitions, $2 first position wanted of each, $3 at most so many events each, $4 no more of a partition once
--             so many bytes of its data are there (at least one event is given).
-- Returns     events by (partition, position), dense from the wanted position.
-- Cost        one range of the primary key a partition. Locks: none.
SELECT e.partition, e.position, e.stream, e.version, e.type, e.source, e.id, e.occurred_at, e.recorded_at, e.data, e.meta
FROM unnest(CAST($1 AS smallint[]), CAST($2 AS bigint[])) AS u (partition, position)
CROSS JOIN LATERAL (
    SELECT
        x.partition, x.position, x.stream, x.version, x.type, x.source, x.id, x.occurred_at, x.recorded_at, x.data, x.meta,
        sum(octet_length(CAST(x.data AS text))) OVER (ORDER BY x.position) - octet_length(CAST(x.data AS text)) AS bytes_before
    FROM event AS x
    WHERE x.partition = u.partition AND x.position >= u.position
    ORDER BY x.position
    LIMIT $3
) AS e
WHERE e.bytes_before < $4
ORDER BY e.partition, e.position
