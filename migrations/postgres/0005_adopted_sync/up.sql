-- What an application's own tables, and whoever gets hold of the daemon's role, do that tables of our own do not.

-- Makes sure that no later change of the caller's scopes gets a time before `now`, nor lets anybody push it beyond that. Who
-- finds a scope locked leaves it: it is being moved already.
CREATE OR REPLACE FUNCTION ryzed.touch(wanted text[], at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz := least(at, clock_timestamp());
BEGIN
    UPDATE ryzed.scopes s SET changed_at = greatest(s.changed_at, moment) WHERE s.scope IN (
        SELECT h.scope FROM ryzed.scopes h WHERE h.scope = ANY (wanted) AND h.changed_at < moment
        AND (h.scope = 'global' OR h.scope = 'user:' || auth.uid() OR ryzed.is_daemon()) FOR NO KEY UPDATE SKIP LOCKED);
END $$;

-- TRUNCATE tells no trigger which rows it takes, and fires none of those for deleted rows: so they are noted before it.
CREATE OR REPLACE FUNCTION ryzed.before_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
DECLARE
    part_rows CONSTANT bigint := 50000;
    of_table text := (SELECT t.table_name FROM ryzed.tables t WHERE t.relation = TG_RELID);
    part record;
BEGIN
    FOR part IN EXECUTE format(
        'SELECT array_agg(g.id) AS ids, array_agg(g.scope) AS scopes, array_agg(''DELETE''::text) AS operations, '
        'array_agg(g.former) AS formers FROM ('
        'SELECT r.id, c.scope, to_jsonb(r) AS former, row_number() OVER () AS place FROM %s r JOIN ryzed.changes c '
        'ON c.row_id = r.id AND c.table_name = $1 AND c.operation <> ''DELETE'') g '
        'GROUP BY (g.place - 1) / $2', TG_RELID::regclass) USING of_table, part_rows
    LOOP
        PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, part.formers, '{}');
    END LOOP;
    RETURN NULL;
END $$;

-- The trigger of an adopted table whose children may be there before it: nothing in the database says that they may not.
-- They were nobody's until now. Its argument: the table's name on the wire.
CREATE FUNCTION ryzed.bring_below() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    of_table text := TG_ARGV[0];
BEGIN
    PERFORM ryzed.carry(of_table, array_agg(p.id), array_agg(p.scope)) FROM (
        SELECT n.id, (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = n.id
            AND c.operation <> 'DELETE' LIMIT 1) AS scope FROM new_rows n
    ) p WHERE p.scope IS NOT NULL HAVING count(*) > 0;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION ryzed.bring_below() FROM PUBLIC;
