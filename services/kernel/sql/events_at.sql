-- What the log holds at given positions: whether somebody who stands there stands in this log.
-- Parameters  $1 partitions, $2 a position of each; a partition may come several times.
-- Returns     one row for each: partition, position, head and time mark of the partition, id of the event there or null.
-- Cost        two index probes a position. Locks: none.
SELECT u.partition, u.position, l.head, l.through, e.id
FROM unnest(CAST($1 AS smallint[]), CAST($2 AS bigint[])) AS u (partition, position)
JOIN log_partition AS l ON l.partition = u.partition
LEFT JOIN event AS e ON e.partition = u.partition AND e.position = u.position
