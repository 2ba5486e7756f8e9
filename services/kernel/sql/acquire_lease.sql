-- Take or keep a lease.
-- Parameters  $1 name, $2 owner, $3 seconds it lasts.
-- Returns     the epoch where the caller holds it now, else no row. A change of owner raises the epoch, which fences the one before.
-- Cost        one upsert by primary key. Locks: the row of the lease.
INSERT INTO lease AS l (name, epoch, owner, expires_at)
VALUES ($1, 1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE
    SET epoch = CASE WHEN l.owner = excluded.owner THEN l.epoch ELSE l.epoch + 1 END,
        owner = excluded.owner,
        expires_at = excluded.expires_at
    WHERE l.owner = excluded.owner OR l.expires_at < clock_timestamp()
RETURNING l.epoch
