DO $$ DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT g.tgrelid FROM pg_trigger g WHERE g.tgname = 'replica_ryzed' LOOP
        EXECUTE format('DROP TRIGGER replica_ryzed ON %s', relation);
    END LOOP;
END $$;
DROP FUNCTION ryzed.record_row();
DROP FUNCTION ryzed.switch_on(text);
DROP FUNCTION ryzed.settle(text, timestamptz);
DROP FUNCTION ryzed.fires(oid);
DROP FUNCTION ryzed.blind_note(text);
DROP FUNCTION ryzed.mend_rows(text, uuid[]);
DROP FUNCTION ryzed.differences(text, uuid[]);
DROP FUNCTION ryzed.ids_after(text, uuid, bigint);
DROP FUNCTION ryzed.scope_sql(text, text);
