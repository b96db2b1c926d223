DROP INDEX ryzed.changes_tombstones;
CREATE INDEX changes_tombstones ON ryzed.changes (changed_at) WHERE operation = 'DELETE';
CREATE OR REPLACE FUNCTION ryzed.prune_tombstones(before timestamptz, most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    IF NOT ryzed.is_daemon() THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the daemon forgets tombstones';
    END IF;
    PERFORM ryzed.hold(ARRAY(SELECT o.scope FROM ryzed.changes o WHERE o.operation = 'DELETE' AND o.changed_at < before
        ORDER BY o.changed_at, o.version LIMIT most));
    WITH old AS (
        DELETE FROM ryzed.changes c USING (
            SELECT o.table_name, o.row_id, o.scope FROM ryzed.changes o
            WHERE o.operation = 'DELETE' AND o.changed_at < before ORDER BY o.changed_at, o.version LIMIT most) o
        WHERE (c.table_name, c.row_id, c.scope) = (o.table_name, o.row_id, o.scope) AND c.operation = 'DELETE'
        RETURNING c.scope, c.version
    ), raised AS (
        UPDATE ryzed.scopes s SET floor = greatest(s.floor, g.version)
        FROM (SELECT old.scope, max(old.version) AS version FROM old GROUP BY old.scope) g WHERE s.scope = g.scope
    )
    SELECT count(*) INTO gone FROM old;
    RETURN gone;
END $$;
