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

-- Gives every row of the list the next version of its scope: a row that is new there (INSERT), has other values there
-- (UPDATE; its former value holds the changed columns' old ones), or is no longer there (DELETE; the former row). Former values
-- over 16 KiB are not kept: what they were is then unknown, as it is of a value that was replaced twice.
CREATE OR REPLACE FUNCTION ryzed.book(
    of_table text, ids uuid[], scopes text[], operations text[], formers jsonb[], deep text[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    booked bigint;
    -- Empty outside of the daemon's own transactions; * for the daemon on no device's behalf.
    device text := nullif(current_setting('ryzed.device', true), '');
BEGIN
    -- One scope is locked by taking its version. Several are locked first, always in the same order.
    IF (scopes[1] = ALL (scopes)) IS NOT TRUE THEN
        PERFORM ryzed.hold(scopes);
    END IF;
    FOR attempt IN 1 .. 2 LOOP
        WITH delta AS (
            SELECT d.row_id, d.scope, d.operation, d.former, row_number() OVER (PARTITION BY d.scope ORDER BY d.place) AS step
            FROM unnest(ids, scopes, operations, formers) WITH ORDINALITY AS d (row_id, scope, operation, former, place)
        ), moved AS (
            UPDATE ryzed.scopes s SET version = s.version + g.rows, changed_at = greatest(s.changed_at, clock_timestamp())
            FROM (SELECT scope, count(*) AS rows FROM delta GROUP BY scope) g WHERE s.scope = g.scope
            RETURNING s.scope, s.version - g.rows AS base, s.changed_at
        )
        INSERT INTO ryzed.changes AS c
            (table_name, row_id, scope, version, operation, changed_at, source_device, field_versions, previous)
        SELECT of_table, d.row_id, d.scope, m.base + d.step, d.operation, m.changed_at, nullif(device, '*'),
            CASE d.operation
                WHEN 'INSERT' THEN jsonb_build_object('*', m.base + d.step)
                WHEN 'UPDATE' THEN (SELECT jsonb_object_agg(k, m.base + d.step) FROM jsonb_object_keys(d.former) k)
                ELSE '{}' END,
            coalesce(d.former, '{}')
        FROM delta d JOIN moved m ON m.scope = d.scope
        ORDER BY d.scope, d.step
        ON CONFLICT (table_name, row_id, scope) DO UPDATE SET
            version = excluded.version,
            operation = excluded.operation,
            changed_at = excluded.changed_at,
            source_device = excluded.source_device,
            field_versions = CASE excluded.operation
                WHEN 'UPDATE' THEN c.field_versions || excluded.field_versions
                WHEN 'DELETE' THEN c.field_versions
                ELSE excluded.field_versions END,
            previous = CASE excluded.operation
                WHEN 'UPDATE' THEN c.previous || (
                    SELECT jsonb_object_agg(f.key, CASE WHEN pg_column_size(f.value) > 16384 THEN '[]' ELSE
                        CASE WHEN f.key = ANY (deep) AND c.previous ? f.key
                        THEN CASE WHEN jsonb_array_length(c.previous -> f.key) < 32
                            THEN c.previous -> f.key ELSE (c.previous -> f.key) - 0 END
                        ELSE '[]' END
                        || jsonb_build_array(jsonb_build_array(
                            coalesce(c.field_versions -> f.key, c.field_versions -> '*'), f.value)) END)
                    FROM jsonb_each(excluded.previous) f)
                ELSE excluded.previous END;
        GET DIAGNOSTICS booked = ROW_COUNT;
        EXIT WHEN booked > 0;
        -- The first change of all in this scope.
        PERFORM ryzed.hold(scopes);
    END LOOP;
    IF device IS NULL THEN
        PERFORM pg_notify('ryzed', '');
    END IF;
END $$;

REVOKE ALL ON FUNCTION ryzed.count_device() FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON ryzed.counts TO ryzed_daemon;
ALTER TABLE ryzed.counts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ryzed.counts TO ryzed_daemon
    USING ((kind = 'receipts' AND whose = (SELECT auth.uid())::text) OR (SELECT ryzed.is_daemon()));
