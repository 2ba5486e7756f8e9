-- expand. Locks: none that exist yet. What a consumer of a log remembers, beside the effects it had.

CREATE TABLE read_model (
    name text PRIMARY KEY,
    live_generation integer NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE read_model IS 'Names the generation that queries read; locked by a swap, share-locked by every apply';

CREATE TABLE generation (
    model text NOT NULL,
    generation integer NOT NULL,
    -- building -> live -> old -> (live again by a roll-back, or dropped)
    state text NOT NULL CONSTRAINT state_is_known CHECK (state IN ('building', 'live', 'old', 'dropped')),
    -- what its rows depend on besides events, by name: only a program of the same may write to it or make it live
    made_with jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    swapped_at timestamptz,
    PRIMARY KEY (model, generation)
);

CREATE TABLE checkpoint (
    model text NOT NULL,
    generation integer NOT NULL,
    partition smallint NOT NULL,
    -- the last event that took effect: 0 and no id before the first
    position bigint NOT NULL DEFAULT 0,
    event_id text,
    recorded_at timestamptz,
    -- no event that is still to come has an earlier recorded_at
    through timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (model, generation, partition)
) WITH (fillfactor = 10);
COMMENT ON TABLE checkpoint IS 'Moves in the transaction of the effect, by compare-and-set: a zombie''s write is refused';

CREATE TABLE parked (
    model text NOT NULL,
    generation integer NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    stream text NOT NULL,
    event json NOT NULL,
    cause text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (model, generation, partition, position)
);
COMMENT ON TABLE parked IS 'Events that could not take effect, and the later events of their leads, in order, until someone retries them';

CREATE TABLE member (
    consumer text NOT NULL,
    member text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (consumer, member)
);
COMMENT ON TABLE member IS 'Processes that share the partitions of a consumer';

CREATE TABLE ownership (
    consumer text NOT NULL,
    partition smallint NOT NULL,
    member text,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (consumer, partition)
) WITH (fillfactor = 10);
COMMENT ON TABLE ownership IS 'Which process reads which partition, until when';
