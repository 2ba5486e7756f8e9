-- Note how far a reader of the own log has come; it never goes back.
-- Parameters  $1 name of the reader, $2 partition, $3 position.
-- Returns     nothing.
-- Cost        one row. Locks: that row.
INSERT INTO reader_checkpoint AS r (name, partition, position)
VALUES ($1, $2, $3)
ON CONFLICT (name, partition) DO UPDATE SET position = greatest(r.position, excluded.position)
