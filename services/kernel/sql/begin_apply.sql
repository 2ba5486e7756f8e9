-- Start the transaction of one applied batch: is this generation live, is the checkpoint where the caller thinks? Then move it.
--
-- Parameters  model, generation, partition; live: whether it must be the live one; the checkpoint as the caller knows it
--             (old_position, old_event_id) and as it will be (position, event_id, recorded_at).
-- Returns     'ok'; 'swapped' where another generation is live; 'fenced' where someone else moved the checkpoint.
-- Locks       the read model's row for share (a swap waits for us), the checkpoint's row.
-- Cost        two index probes and one update.
CREATE OR REPLACE FUNCTION begin_apply(
    a_model text, a_generation integer, a_partition smallint, a_live boolean,
    old_position bigint, old_event_id text, new_position bigint, new_event_id text, new_recorded_at timestamptz
) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF a_live THEN
        PERFORM 1 FROM read_model AS r WHERE r.name = a_model AND r.live_generation = a_generation FOR SHARE;
        IF NOT FOUND THEN
            RETURN 'swapped';
        END IF;
    END IF;
    UPDATE checkpoint AS c
    SET position = new_position, event_id = new_event_id, recorded_at = new_recorded_at,
        through = greatest(c.through, new_recorded_at)
    WHERE c.model = a_model AND c.generation = a_generation AND c.partition = a_partition
        AND c.position = old_position AND c.event_id IS NOT DISTINCT FROM old_event_id;
    IF NOT FOUND THEN
        RETURN 'fenced';
    END IF;
    PERFORM set_config('search_path', format('%I, %I', a_model || '_g' || a_generation, current_schema()), true);
    RETURN 'ok';
END
$$;
