-- Who reads has to know that something of a table is still owed, so that no copy is called whole before that is told.
CREATE POLICY own ON ryzed.passed FOR SELECT TO ryzed_daemon
    USING (scope = 'global' OR scope = 'user:' || (SELECT auth.uid()));

-- Tells again what devices were not given while a table was stopped. Says in how many scopes not yet, because somebody writes there.
-- The note goes first: one that another instance makes meanwhile, perhaps of an earlier version, waits and stays.
CREATE OR REPLACE FUNCTION ryzed.tell_passed(of_table text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    passed record;
    told_from bigint;
    ids uuid[];
    busy bigint := 0;
BEGIN
    FOR passed IN SELECT p.scope FROM ryzed.passed p WHERE p.table_name = of_table ORDER BY p.scope LOOP
        PERFORM FROM ryzed.scopes s WHERE s.scope = passed.scope FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            busy := busy + 1;
            CONTINUE;
        END IF;
        DELETE FROM ryzed.passed p WHERE p.table_name = of_table AND p.scope = passed.scope RETURNING p.after INTO told_from;
        ids := ARRAY(SELECT c.row_id FROM ryzed.changes c
            WHERE c.scope = passed.scope AND c.table_name = of_table AND c.version > told_from ORDER BY c.version);
        IF cardinality(ids) > 0 THEN
            PERFORM ryzed.tell_again(of_table, ids, array_fill(passed.scope, ARRAY[cardinality(ids)]));
        END IF;
    END LOOP;
    RETURN busy;
END $$;
