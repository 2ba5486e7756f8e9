-- Write down what the broker acknowledged of the state topic, unless a newer relay has taken over.
-- Parameters  $1 partitions, $2 positions, $3 Kafka offsets (-1: nothing is sure any more), $4 epoch of the lease.
-- Returns     the partitions written; one that is missing was fenced.
-- Cost        one upsert a partition. Locks: the rows of those partitions, ascending.
INSERT INTO state_confirmed AS c (partition, position, kafka_offset, epoch)
SELECT u.partition, u.position, u.kafka_offset, $4
FROM unnest(CAST($1 AS smallint[]), CAST($2 AS bigint[]), CAST($3 AS bigint[])) AS u (partition, position, kafka_offset)
ORDER BY u.partition
ON CONFLICT (partition) DO UPDATE
    SET position = excluded.position, kafka_offset = excluded.kafka_offset, epoch = excluded.epoch
    WHERE c.epoch <= excluded.epoch
RETURNING c.partition
