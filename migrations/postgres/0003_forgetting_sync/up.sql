-- Forgetting keeps nobody waiting: tombstones are found in the order in which they are forgotten, also where one statement
-- has made thousands of them, and a scope that somebody writes is left alone as long as there are others.
DROP INDEX ryzed.changes_tombstones;
CREATE INDEX changes_tombstones ON ryzed.changes (changed_at, version) WHERE operation = 'DELETE';

-- Forgets tombstones, the oldest first, so that a scope's floor rises with them and never over one that is kept. It never
-- waits for one scope while it holds another.
CREATE OR REPLACE FUNCTION ryzed.prune_tombstones(before timestamptz, most bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    wanted text[];
    held text[];
    gone bigint;
BEGIN
    IF NOT ryzed.is_daemon() THEN
        RAISE insufficient_privilege USING MESSAGE = 'only the daemon forgets tombstones';
    END IF;
    wanted := ARRAY(SELECT o.scope FROM ryzed.changes o WHERE o.operation = 'DELETE' AND o.changed_at < before
        ORDER BY o.changed_at, o.version LIMIT most);
    held := ARRAY(SELECT s.scope FROM ryzed.scopes s WHERE s.scope = ANY (wanted) FOR NO KEY UPDATE SKIP LOCKED);
    IF cardinality(held) = 0 AND cardinality(wanted) > 0 THEN
        held := wanted[1:1];
        PERFORM ryzed.hold(held);
    END IF;
    WITH old AS (
        DELETE FROM ryzed.changes c WHERE c.operation = 'DELETE' AND c.ctid = ANY (ARRAY(
            SELECT o.ctid FROM ryzed.changes o
            WHERE o.operation = 'DELETE' AND o.changed_at < before AND o.scope = ANY (held)
            ORDER BY o.changed_at, o.version LIMIT most))
        RETURNING c.scope, c.version
    ), raised AS (
        UPDATE ryzed.scopes s SET floor = greatest(s.floor, g.version)
        FROM (SELECT old.scope, max(old.version) AS version FROM old GROUP BY old.scope) g WHERE s.scope = g.scope
    )
    SELECT count(*) INTO gone FROM old;
    RETURN gone;
END $$;
