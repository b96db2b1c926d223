DROP TRIGGER count_insert ON ryzed.devices;
DROP TRIGGER count_delete ON ryzed.devices;
CREATE OR REPLACE FUNCTION ryzed.count_device() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.revoked_at IS NULL THEN
        UPDATE ryzed.counts c SET count = c.count - 1
            WHERE c.kind = 'devices' AND c.whose = (hashtext(OLD.user_id::text) & 15)::text;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.revoked_at IS NULL THEN
        INSERT INTO ryzed.counts AS c VALUES ('devices', (hashtext(NEW.user_id::text) & 15)::text, 1)
            ON CONFLICT (kind, whose) DO UPDATE SET count = c.count + 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_insert AFTER INSERT ON ryzed.devices FOR EACH ROW
    WHEN (NEW.revoked_at IS NULL) EXECUTE FUNCTION ryzed.count_device();
CREATE TRIGGER count_delete AFTER DELETE ON ryzed.devices FOR EACH ROW
    WHEN (OLD.revoked_at IS NULL) EXECUTE FUNCTION ryzed.count_device();

DROP TRIGGER count_insert ON ryzed.changes;
DROP TRIGGER count_update ON ryzed.changes;
DROP TRIGGER count_delete ON ryzed.changes;
DROP FUNCTION ryzed.recount(text[]);
DROP FUNCTION ryzed.miscounted(text[]);
DROP FUNCTION ryzed.count_changes();
DROP FUNCTION ryzed.count_scopes(text[]);
DROP FUNCTION ryzed.weight(bigint);
DROP FUNCTION ryzed.number_of(uuid);
DROP TABLE ryzed.sums;
