-- Write down what the broker acknowledged, unless a newer relay has taken over.
-- Parameters  $1 partitions, $2 positions, $3 Kafka offsets, $4 event ids, $5 epoch of the lease.
-- Returns     the partitions written; one that is missing was fenced.
-- Cost        one upsert a partition. Locks: the rows of those partitions, ascending.
INSERT INTO relay_confirmed AS c (partition, position, kafka_offset, event_id, epoch)
SELECT u.partition, u.position, u.kafka_offset, u.event_id, $5
FROM unnest(CAST($1 AS smallint[]), CAST($2 AS bigint[]), CAST($3 AS bigint[]), CAST($4 AS text[])) AS u (partition, position, kafka_offset, event_id)
ORDER BY u.partition
ON CONFLICT (partition) DO UPDATE
    SET position = excluded.position, kafka_offset = excluded.kafka_offset, event_id = excluded.event_id, epoch = excluded.epoch
    WHERE c.epoch <= excluded.epoch
RETURNING c.partition
