-- expand. Locks: short, on the catalogue. Append-only is a matter of privilege, not of discipline.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['salescycle_writer', 'salescycle_relay', 'salescycle_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the whole server; another database or service made it
        END;
        EXECUTE format('GRANT %I TO CURRENT_USER', role);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    END LOOP;
END
$$;

GRANT SELECT, INSERT ON event, receipt TO salescycle_writer;
GRANT SELECT, INSERT, UPDATE ON stream, reader_checkpoint TO salescycle_writer;
GRANT SELECT, UPDATE ON log_partition TO salescycle_writer;
GRANT SELECT ON event, log_partition TO salescycle_relay;
GRANT SELECT, INSERT, UPDATE ON relay_confirmed, lease TO salescycle_relay;
GRANT UPDATE ON log_partition TO salescycle_relay;
GRANT SELECT ON event, receipt, stream, log_partition, relay_confirmed, lease TO salescycle_reader;
