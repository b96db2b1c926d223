-- What one person can make the database hold and do is bounded.

-- What is counted as it comes and goes, so that nobody has to count it: the devices that may call (`devices`, in several rows,
-- since everybody's first call changes one of them), and each person's receipts (`receipts`).
CREATE TABLE ryzed.counts (
    kind text NOT NULL,
    whose text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (kind, whose)
) WITH (fillfactor = 50);

-- Nobody comes or goes while they are counted.
LOCK TABLE ryzed.devices, ryzed.receipts IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO ryzed.counts SELECT 'devices', (hashtext(user_id::text) & 15)::text, count(*) FROM ryzed.devices
    WHERE revoked_at IS NULL GROUP BY 2;
INSERT INTO ryzed.counts SELECT 'receipts', user_id::text, count(*) FROM ryzed.receipts GROUP BY user_id;

CREATE FUNCTION ryzed.count_device() RETURNS trigger
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
CREATE TRIGGER count_update AFTER UPDATE OF revoked_at ON ryzed.devices FOR EACH ROW
    WHEN ((NEW.revoked_at IS NULL) <> (OLD.revoked_at IS NULL)) EXECUTE FUNCTION ryzed.count_device();

-- Open conflicts are read in pages, in the order of their ids, and counted. Those of one place, a row and a device, are one.
ALTER TABLE ryzed.conflicts ADD COLUMN place text, ADD COLUMN bytes bigint;
DROP INDEX ryzed.conflicts_user_id;
CREATE INDEX conflicts_page ON ryzed.conflicts (user_id, id) INCLUDE (bytes);
CREATE UNIQUE INDEX conflicts_place ON ryzed.conflicts (user_id, place) WHERE place IS NOT NULL;

REVOKE ALL ON FUNCTION ryzed.count_device() FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON ryzed.counts TO ryzed_daemon;
ALTER TABLE ryzed.counts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ryzed.counts TO ryzed_daemon
    USING ((kind = 'receipts' AND whose = (SELECT auth.uid())::text) OR (SELECT ryzed.is_daemon()));
