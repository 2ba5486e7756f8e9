-- expand. Locks: none that exist yet. The log of one service in one placement (ADR-0003).
-- Names are compared byte by byte (COLLATE "C"), so that PostgreSQL and the programs sort them alike, and batches lock alike.

CREATE TABLE log_partition (
    partition smallint PRIMARY KEY,
    head bigint NOT NULL DEFAULT 0,
    -- no later event of the partition has an earlier recorded_at
    through timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT head_counts_from_zero CHECK (head >= 0)
) WITH (fillfactor = 10);
COMMENT ON TABLE log_partition IS 'Position counter of a partition, and the lock that makes commit order equal position order';

CREATE TABLE stream (
    partition smallint NOT NULL,
    version integer NOT NULL,
    -- the version before the last append: what compare-and-set compares with
    base_version integer NOT NULL,
    stream text COLLATE "C" PRIMARY KEY,
    state json NOT NULL,
    -- what lists are filtered by, as name=value; an update that leaves them as they were touches no index
    labels text[] COLLATE "C" NOT NULL,
    CONSTRAINT version_counts_from_one CHECK (version >= 1)
) WITH (fillfactor = 70);
CREATE INDEX stream_labels ON stream USING gin (labels);
COMMENT ON TABLE stream IS 'The fold of each stream, kept in the transaction that appends';

CREATE TABLE event (
    position bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    version integer NOT NULL,
    partition smallint NOT NULL,
    stream text COLLATE "C" NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    data json NOT NULL,
    meta json,
    CONSTRAINT event_position_is_unique PRIMARY KEY (partition, position),
    CONSTRAINT event_version_is_unique UNIQUE (partition, stream, version)
);
COMMENT ON TABLE event IS 'What is appended is what subscribers read; never updated, never deleted';

CREATE TABLE receipt (
    version integer NOT NULL,
    partition smallint NOT NULL,
    source text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    stream text NOT NULL,
    implied text[],
    CONSTRAINT receipt_is_unique PRIMARY KEY (source, id)
);
COMMENT ON TABLE receipt IS 'Idempotency for ever: (source, id) leads to the first answer';

CREATE TABLE relay_confirmed (
    partition smallint PRIMARY KEY,
    position bigint NOT NULL,
    kafka_offset bigint NOT NULL,
    event_id text NOT NULL,
    epoch bigint NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE relay_confirmed IS 'Per partition the last record that the broker acknowledged, fenced by the epoch of the relay''s lease';

CREATE TABLE reader_checkpoint (
    name text NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT reader_stands_once PRIMARY KEY (name, partition)
) WITH (fillfactor = 10);
COMMENT ON TABLE reader_checkpoint IS 'How far a reader of the own log inside this service has come';

CREATE TABLE lease (
    name text PRIMARY KEY,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE lease IS 'Who may act, until when; the epoch fences whoever acted before';
