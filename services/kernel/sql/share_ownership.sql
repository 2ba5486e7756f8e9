-- One beat of a process that shares a consumer's partitions: say that it lives, keep or give up what it owns, take what is free.
--
-- Parameters  consumer, member, number of partitions, seconds until a silent process loses what it owns.
-- Returns     the partitions that the member owns now, each of which it may apply for so many seconds.
-- Locks       the consumer's rows of ownership, ascending.
-- Cost        a few dozen index probes, once a second a process.
CREATE OR REPLACE FUNCTION share_ownership(a_consumer text, a_member text, partitions integer, seconds double precision)
RETURNS SETOF smallint
LANGUAGE plpgsql AS $$
DECLARE
    share integer;
    mine integer;
    until timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    INSERT INTO ownership (consumer, partition)
    SELECT a_consumer, n FROM generate_series(0, partitions - 1) AS n
    ON CONFLICT (consumer, partition) DO NOTHING;
    INSERT INTO member AS m (consumer, member, expires_at) VALUES (a_consumer, a_member, until)
    ON CONFLICT (consumer, member) DO UPDATE SET expires_at = excluded.expires_at;
    DELETE FROM member AS m WHERE m.consumer = a_consumer AND m.expires_at < clock_timestamp() - interval '1 minute';

    PERFORM 1 FROM ownership AS o WHERE o.consumer = a_consumer ORDER BY o.partition FOR UPDATE;
    SELECT ceil(partitions::numeric / greatest(1, count(*))) INTO share
    FROM member AS m WHERE m.consumer = a_consumer AND m.expires_at > clock_timestamp();

    UPDATE ownership AS o SET expires_at = until WHERE o.consumer = a_consumer AND o.member = a_member;
    SELECT count(*) INTO mine FROM ownership AS o WHERE o.consumer = a_consumer AND o.member = a_member;
    IF mine > share THEN
        UPDATE ownership AS o SET member = NULL, expires_at = '-infinity'
        WHERE o.consumer = a_consumer AND o.partition IN (
            SELECT x.partition FROM ownership AS x WHERE x.consumer = a_consumer AND x.member = a_member
            ORDER BY x.partition DESC LIMIT mine - share);
    ELSIF mine < share THEN
        UPDATE ownership AS o SET member = a_member, expires_at = until
        WHERE o.consumer = a_consumer AND o.partition IN (
            SELECT x.partition FROM ownership AS x
            WHERE x.consumer = a_consumer AND (x.member IS NULL OR x.expires_at < clock_timestamp())
            ORDER BY x.partition LIMIT share - mine);
    END IF;
    RETURN QUERY SELECT o.partition FROM ownership AS o WHERE o.consumer = a_consumer AND o.member = a_member ORDER BY o.partition;
END
$$;
