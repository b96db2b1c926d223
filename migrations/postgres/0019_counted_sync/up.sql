-- Adopting an application's tables took down the triggers that count, of the index and of devices, as it takes down those of
-- tables that are no longer synced. Where they are missing they are put up again, and everything is counted anew.

DO $$ BEGIN
    IF (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = 'ryzed.changes'::regclass AND g.tgfoid = 'ryzed.count_changes()'::regprocedure) < 3 THEN
        -- Nothing changes while it is counted.
        LOCK TABLE ryzed.changes IN SHARE ROW EXCLUSIVE MODE;
        DROP TRIGGER IF EXISTS count_insert ON ryzed.changes;
        DROP TRIGGER IF EXISTS count_update ON ryzed.changes;
        DROP TRIGGER IF EXISTS count_delete ON ryzed.changes;
        CREATE TRIGGER count_insert AFTER INSERT ON ryzed.changes REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_changes();
        CREATE TRIGGER count_update AFTER UPDATE ON ryzed.changes REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_changes();
        CREATE TRIGGER count_delete AFTER DELETE ON ryzed.changes REFERENCING OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_changes();
        ALTER TABLE ryzed.changes ENABLE ALWAYS TRIGGER count_insert, ENABLE ALWAYS TRIGGER count_update, ENABLE ALWAYS TRIGGER count_delete;
        DELETE FROM ryzed.sums;
        INSERT INTO ryzed.sums SELECT * FROM ryzed.count_scopes(NULL);
    END IF;
    IF (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = 'ryzed.devices'::regclass AND g.tgfoid = 'ryzed.count_device()'::regprocedure) < 3 THEN
        -- Nobody comes or goes while they are counted.
        LOCK TABLE ryzed.devices IN SHARE ROW EXCLUSIVE MODE;
        DROP TRIGGER IF EXISTS count_insert ON ryzed.devices;
        DROP TRIGGER IF EXISTS count_update ON ryzed.devices;
        DROP TRIGGER IF EXISTS count_delete ON ryzed.devices;
        CREATE TRIGGER count_insert AFTER INSERT ON ryzed.devices REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_device();
        CREATE TRIGGER count_update AFTER UPDATE OF revoked_at ON ryzed.devices FOR EACH ROW
            WHEN ((NEW.revoked_at IS NULL) <> (OLD.revoked_at IS NULL)) EXECUTE FUNCTION ryzed.count_device();
        CREATE TRIGGER count_delete AFTER DELETE ON ryzed.devices REFERENCING OLD TABLE AS old_rows
            FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_device();
        DELETE FROM ryzed.counts WHERE kind = 'devices';
        INSERT INTO ryzed.counts SELECT 'devices', (hashtext(user_id::text) & 15)::text, count(*) FROM ryzed.devices
            WHERE revoked_at IS NULL GROUP BY 2;
    END IF;
END $$;
