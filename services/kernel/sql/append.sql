-- Append one batch: compare-and-set every stream, write receipts, take the counters as late as possible, write the events.
--
-- Parameters  streams in ascending order of name (s_*, their labels joined by U+001F), partitions in ascending order with the number of events each (p_*),
--             events in log order (e_*): e_slot is the index of the event's partition in p_partition from 1, e_offset its
--             place among the batch's events there from 1, e_digest and e_implied (types, with commas) go to its receipt.
-- Returns     one row: recorded_at of the batch, and the head of each partition before it, in the order of p_partition.
-- Raises      SC001 with the names of streams that have moved on; SC002 with the ids of receipts that exist. Nothing is stored.
-- Locks       streams, receipts, counters: always in this order, each in ascending order, so that batches cannot deadlock.
--             No user code runs while a counter is held: only the insert of the events and the commit.
-- Cost        one index probe for each stream, receipt and event; measured 20-30 us an event in batches of 100 and more.
CREATE OR REPLACE FUNCTION append(
    s_stream text[], s_partition smallint[], s_old integer[], s_new integer[], s_state json[], s_labels text[],
    p_partition smallint[], p_count integer[],
    e_slot integer[], e_offset integer[], e_stream text[], e_version integer[], e_type text[], e_source text[], e_id text[],
    e_occurred_at timestamptz[], e_data json[], e_meta json[], e_digest bytea[], e_implied text[]
) RETURNS TABLE (recorded_at timestamptz, bases bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moved text[];
    stamp timestamptz;
    heads bigint[];
BEGIN
    -- An insert where an older version was expected means that the stream is gone: the store was restored.
    WITH put AS (
        INSERT INTO stream AS s (stream, partition, base_version, version, state, labels)
        SELECT u.stream, u.partition, u.old, u.new, u.state, string_to_array(u.labels, E'\x1f')
        FROM unnest(s_stream, s_partition, s_old, s_new, s_state, s_labels) AS u (stream, partition, old, new, state, labels)
        ON CONFLICT (stream) DO UPDATE
            SET base_version = excluded.base_version, version = excluded.version, state = excluded.state,
                labels = excluded.labels
            WHERE s.version = excluded.base_version
        RETURNING s.stream, (s.xmax = 0) <> (s.base_version = 0) AS strange
    )
    SELECT array_agg(coalesce(put.stream, u.stream)) INTO moved
    FROM unnest(s_stream) AS u (stream) LEFT JOIN put ON put.stream = u.stream
    WHERE put.stream IS NULL OR put.strange;
    IF moved IS NOT NULL THEN
        RAISE EXCEPTION 'streams have moved on' USING ERRCODE = 'SC001', DETAIL = array_to_json(moved)::text;
    END IF;

    WITH put AS (
        INSERT INTO receipt AS r (source, id, digest, partition, stream, version, implied)
        SELECT u.source, u.id, u.digest, p_partition[u.slot], u.stream, u.version, string_to_array(u.implied, ',')
        FROM unnest(e_source, e_id, e_digest, e_slot, e_stream, e_version, e_implied)
            AS u (source, id, digest, slot, stream, version, implied)
        ORDER BY u.source COLLATE "C", u.id COLLATE "C"
        ON CONFLICT (source, id) DO NOTHING
        RETURNING 1
    )
    SELECT CASE WHEN count(*) < cardinality(e_id) THEN ARRAY['some'] END INTO moved FROM put;
    IF moved IS NOT NULL THEN
        RAISE EXCEPTION 'receipts exist' USING ERRCODE = 'SC002';
    END IF;

    PERFORM 1 FROM log_partition AS l WHERE l.partition = ANY (p_partition) ORDER BY l.partition FOR UPDATE;
    SELECT greatest(clock_timestamp(), max(l.through)) INTO stamp FROM log_partition AS l WHERE l.partition = ANY (p_partition);
    WITH moved_heads AS (
        UPDATE log_partition AS l SET head = l.head + u.n, through = stamp
        FROM unnest(p_partition, p_count) AS u (partition, n)
        WHERE l.partition = u.partition
        RETURNING l.partition, l.head - u.n AS base
    )
    SELECT array_agg(m.base ORDER BY m.partition) INTO heads FROM moved_heads AS m;
    IF cardinality(heads) IS DISTINCT FROM cardinality(p_partition) THEN
        RAISE EXCEPTION 'a partition of the batch is not in this placement' USING ERRCODE = 'SC003';
    END IF;

    INSERT INTO event (partition, position, stream, version, type, source, id, occurred_at, recorded_at, data, meta)
    SELECT p_partition[u.slot], heads[u.slot] + u.place, u.stream, u.version, u.type, u.source, u.id, u.occurred_at, stamp, u.data, u.meta
    FROM unnest(e_slot, e_offset, e_stream, e_version, e_type, e_source, e_id, e_occurred_at, e_data, e_meta)
        AS u (slot, place, stream, version, type, source, id, occurred_at, data, meta);

    recorded_at := stamp;
    bases := heads;
    RETURN NEXT;
END
$$;
