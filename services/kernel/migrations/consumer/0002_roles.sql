-- expand. Locks: short, on the catalogue. A projector makes and drops the schemas of its generations; a reader only reads.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['salescycle_projector', 'salescycle_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        EXECUTE format('GRANT %I TO CURRENT_USER', role);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    END LOOP;
    EXECUTE format('GRANT CREATE ON DATABASE %I TO salescycle_projector', current_database());
END
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON read_model, generation, checkpoint, parked, member, ownership TO salescycle_projector;
GRANT SELECT ON read_model, generation, checkpoint, parked, member, ownership TO salescycle_reader;
