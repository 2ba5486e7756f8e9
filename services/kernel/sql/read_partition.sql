-- A page of a partition in order: the reader's whole protocol is "position > n".
-- Parameters  $1 partition, $2 after this position, $3 at most so many, $4 no more once so many bytes of data are there (at
--             least one event is given).
-- Returns     events by position, dense from $2 + 1.
-- Cost        one range of the primary key. Locks: none.
SELECT e.partition, e.position, e.stream, e.version, e.type, e.source, e.id, e.occurred_at, e.recorded_at, e.data, e.meta
FROM (
    SELECT
        x.partition, x.position, x.stream, x.version, x.type, x.source, x.id, x.occurred_at, x.recorded_at, x.data, x.meta,
        sum(octet_length(CAST(x.data AS text))) OVER (ORDER BY x.position) - octet_length(CAST(x.data AS text)) AS bytes_before
    FROM event AS x
    WHERE x.partition = $1 AND x.position > $2
    ORDER BY x.position
    LIMIT $3
) AS e
WHERE e.bytes_before < $4
ORDER BY e.position
