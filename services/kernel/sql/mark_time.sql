-- Move the time mark of idle partitions to now, so that readers who have caught up know how far they are.
-- Parameters  none. Returns nothing.
-- Locks       counters of idle partitions, those in use are skipped: whoever holds one moves its mark himself.
-- Cost        at most one update a partition and second.
UPDATE log_partition AS l SET through = clock_timestamp()
FROM (
    SELECT partition FROM log_partition
    WHERE through < clock_timestamp() - interval '1 second'
    ORDER BY partition
    FOR UPDATE SKIP LOCKED
) AS idle
WHERE l.partition = idle.partition
