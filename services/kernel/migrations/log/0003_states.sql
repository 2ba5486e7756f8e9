-- expand. Locks: short, on the catalogue. The relay also publishes the states of streams, and writes down how far (ADR-0016).

CREATE TABLE state_confirmed (
    partition smallint PRIMARY KEY,
    -- of the event that made the state in the last record acknowledged: every stream that last changed up to here is published
    position bigint NOT NULL,
    kafka_offset bigint NOT NULL,
    epoch bigint NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE state_confirmed IS 'Per partition the last record of the state topic that the broker acknowledged, fenced by the epoch of the relay''s lease';

GRANT SELECT ON stream TO salescycle_relay;
GRANT SELECT, INSERT, UPDATE ON state_confirmed TO salescycle_relay;
GRANT SELECT ON state_confirmed TO salescycle_reader;
