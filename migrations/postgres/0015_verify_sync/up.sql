-- The index is held against the tables, and mended, while everybody goes on; and what is written where triggers of the usual kind
-- are not fired, by a subscription's worker or under session_replication_role = replica, is booked row by row.

-- The scope of a row as the tables have it, as SQL: `alias` stands for the row.
CREATE FUNCTION ryzed.scope_sql(of_table text, alias text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t ryzed.tables;
    above CONSTANT text := alias || '_up';
BEGIN
    SELECT x.* INTO t FROM ryzed.tables x WHERE x.table_name = of_table;
    RETURN CASE
        WHEN t.table_name IS NULL THEN 'NULL::text'
        WHEN t.rule = 'via' THEN format('(SELECT %s FROM %s %I WHERE %I.id = %I.%I)', ryzed.scope_sql(t.parent, above),
            (SELECT p.relation FROM ryzed.tables p WHERE p.table_name = t.parent), above, above, alias, t.owner_column)
        WHEN t.rule = 'owner_or_global' THEN format('coalesce(''user:'' || %I.%I, ''global'')', alias, t.owner_column)
        ELSE format('''user:'' || %I.%I', alias, t.owner_column) END;
END $$;

-- The next ids behind one, in order: of rows, and of entries that say that one is there. None of a table that is another.
CREATE FUNCTION ryzed.ids_after(of_table text, after uuid, most bigint) RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF NOT ryzed.is_daemon() OR ryzed.strayed(of_table) IS NOT NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format('SELECT u.id FROM (SELECT a.id FROM (SELECT r.id FROM %s r WHERE $2 IS NULL OR r.id > $2 '
        'ORDER BY r.id LIMIT $3) a UNION SELECT b.row_id FROM (SELECT c.row_id FROM ryzed.changes c WHERE c.table_name = $1 '
        'AND ($2 IS NULL OR c.row_id > $2) AND c.operation <> ''DELETE'' ORDER BY c.row_id LIMIT $3) b) u ORDER BY u.id LIMIT $3',
        (SELECT t.relation FROM ryzed.tables t WHERE t.table_name = of_table)) USING of_table, after, most;
END $$;

-- What is the matter with these ids: a row is `missing` in the index, or `buried` as deleted, an entry is `extra`, a row has
-- `moved`, or was written while no trigger saw it and may have `changed`. One statement, so that it sees one moment.
CREATE FUNCTION ryzed.differences(of_table text, ids uuid[]) RETURNS TABLE (id uuid, scope text, was text[], kind text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    IF NOT ryzed.is_daemon() OR ryzed.strayed(of_table) IS NOT NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format('SELECT d.id, d.scope, d.was, CASE WHEN NOT d.is_there THEN ''extra'' WHEN d.scope IS NULL THEN ''moved'' '
        'WHEN d.was = ''{}'' AND EXISTS (SELECT FROM ryzed.changes c WHERE c.row_id = d.id AND c.table_name = $2 AND c.scope = d.scope) '
        'THEN ''buried'' WHEN d.was = ''{}'' THEN ''missing'' WHEN d.was <> ARRAY[d.scope] THEN ''moved'' ELSE ''changed'' END '
        'FROM (SELECT i.id, r.id IS NOT NULL AS is_there, CASE WHEN r.id IS NOT NULL THEN %s END AS scope, '
        'ARRAY(SELECT c.scope FROM ryzed.changes c WHERE c.row_id = i.id AND c.table_name = $2 AND c.operation <> ''DELETE'' '
        'ORDER BY c.scope) AS was, coalesce(age(r.xmin) <= age($3::xid), FALSE) AND NOT EXISTS (SELECT FROM ryzed.changes c '
        'WHERE c.row_id = i.id AND c.table_name = $2 AND c.operation <> ''DELETE'' AND (c.xmin = r.xmin OR c.changed_at > $4)) AS is_other '
        'FROM unnest($1) i (id) LEFT JOIN %s r ON r.id = i.id) d '
        'WHERE d.is_other OR d.was <> CASE WHEN d.scope IS NULL THEN ''{}'' ELSE ARRAY[d.scope] END',
        ryzed.scope_sql(of_table, 'r'), (SELECT t.relation FROM ryzed.tables t WHERE t.table_name = of_table))
        USING ids, of_table, ryzed.unseen_since(of_table),
            (SELECT max(s.since) FROM ryzed.stopped s WHERE s.table_name = of_table);
END $$;

-- Enters what the table has under these ids into the index where it differs, as changes that every device gets; of how many
-- rows. One that moves into a scope meanwhile that is not held is left.
CREATE FUNCTION ryzed.mend_rows(of_table text, ids uuid[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    held text[];
    found record;
BEGIN
    held := ARRAY(SELECT DISTINCT s.scope FROM ryzed.differences(of_table, ids) d CROSS JOIN LATERAL unnest(d.was || d.scope) s (scope)
        WHERE s.scope IS NOT NULL);
    PERFORM ryzed.hold(held);
    -- Anew: what those did who held a scope until now is seen only now.
    WITH d AS MATERIALIZED (
        SELECT x.* FROM ryzed.differences(of_table, ids) x WHERE array_remove(x.was || x.scope, NULL) <@ held
    ), told AS (
        SELECT d.id, w.scope, 'DELETE' AS operation FROM d CROSS JOIN LATERAL unnest(d.was) w (scope)
        WHERE w.scope IS DISTINCT FROM d.scope
        UNION ALL SELECT d.id, d.scope, 'INSERT' FROM d WHERE d.scope <> ALL (d.was) OR d.kind = 'changed'
    )
    SELECT array_agg(t.id ORDER BY t.operation) AS ids, array_agg(t.scope ORDER BY t.operation) AS scopes,
        array_agg(t.operation ORDER BY t.operation) AS operations, count(DISTINCT t.id) AS rows INTO found FROM told t;
    IF found.ids IS NOT NULL THEN
        PERFORM ryzed.book(of_table, found.ids, found.scopes, found.operations, NULL, '{}');
    END IF;
    RETURN found.rows;
END $$;

-- The newest note that rows of a table may have changed unseen, and why.
CREATE FUNCTION ryzed.blind_note(of_table text) RETURNS TABLE (at text, reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.since::text, s.reason FROM ryzed.stopped s WHERE s.table_name = of_table AND ryzed.is_daemon()
    ORDER BY s.since DESC LIMIT 1
$$;

-- Whether our triggers on a table fire: those for statements but where a replica writes, that for rows there alone.
CREATE FUNCTION ryzed.fires(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(CASE g.tgname WHEN 'replica_ryzed' THEN g.tgenabled = 'R' WHEN 'ryzed_truncate' THEN g.tgenabled IN ('O', 'A')
        ELSE g.tgenabled = 'O' END), FALSE)
    FROM pg_trigger g WHERE g.tgrelid = relation AND (g.tgname LIKE 'ryzed\_%' OR g.tgname = 'replica_ryzed')
$$;

-- Switches our triggers on again where they are as they were put up, and notes that rows may have changed unseen until then.
CREATE FUNCTION ryzed.switch_on(of_table text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation regclass := (SELECT t.relation FROM ryzed.tables t
        WHERE t.table_name = of_table AND t.triggers = ryzed.triggers_of(t.relation) AND NOT ryzed.fires(t.relation));
    trigger_name name;
BEGIN
    IF relation IS NULL OR NOT ryzed.is_daemon() OR ryzed.strayed(of_table) IS NOT NULL THEN
        RETURN;
    END IF;
    FOR trigger_name IN SELECT g.tgname FROM pg_trigger g WHERE g.tgrelid = relation AND (g.tgname LIKE 'ryzed\_%' OR g.tgname = 'replica_ryzed') LOOP
        EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', relation,
            CASE trigger_name WHEN 'replica_ryzed' THEN 'REPLICA' WHEN 'ryzed_truncate' THEN 'ALWAYS' END, trigger_name);
    END LOOP;
    -- Whoever looks sees by this row that it was done on purpose.
    UPDATE ryzed.tables t SET stamp = t.stamp WHERE t.table_name = of_table;
    IF NOT EXISTS (SELECT FROM ryzed.stopped s WHERE s.table_name = of_table) THEN
        INSERT INTO ryzed.stopped (table_name, since_xid, reason) VALUES (of_table, '3', 'triggers of ryzed were switched off');
    END IF;
END $$;

-- Takes back notes up to one, once the whole table was held against the index: it goes on. Not while its triggers do not fire.
CREATE FUNCTION ryzed.settle(of_table text, upto timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT ryzed.is_daemon() OR ryzed.strayed(of_table) IS NOT NULL OR NOT EXISTS (SELECT FROM ryzed.tables t
        WHERE t.table_name = of_table AND t.triggers = ryzed.triggers_of(t.relation) AND ryzed.fires(t.relation)
        AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname = 'replica_ryzed')) THEN
        RETURN FALSE;
    END IF;
    DELETE FROM ryzed.stopped s WHERE s.table_name = of_table AND s.since <= upto;
    RETURN TRUE;
END $$;

-- The trigger of rows that are written where those of statements are not fired. The arguments are those of ryzed.record(). A row at a
-- time, as a subscription's worker has them; the rows above come before it.
CREATE FUNCTION ryzed.record_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_variable
DECLARE
    of_table text := TG_ARGV[4];
    adopted boolean := TG_ARGV[5];
    rule text := TG_ARGV[0];
    owner_column text := TG_ARGV[1];
    above text := TG_ARGV[2];
    deep text[] := TG_ARGV[3];
    is_same boolean := TG_OP = 'UPDATE';
    old_id uuid;
    new_id uuid;
    owner uuid;
    was text;
    now_in text;
    former jsonb;
BEGIN
    -- Whoever has switched triggers on again without a thought may have made it one of the usual kind.
    IF current_setting('session_replication_role') <> 'replica' THEN
        RETURN NULL;
    END IF;
    IF ryzed.strayed(of_table) IS NOT NULL THEN
        PERFORM ryzed.stop(of_table);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        former := to_jsonb(OLD);
        old_id := former ->> 'id';
        IF adopted AND EXISTS (SELECT FROM ryzed.entering e WHERE NOT e.done) THEN
            PERFORM FROM ryzed.entering e WHERE e.table_name = of_table FOR SHARE;
        END IF;
        was := (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = old_id
            AND c.operation <> 'DELETE' LIMIT 1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_id := to_jsonb(NEW) ->> 'id';
        owner := to_jsonb(NEW) ->> owner_column;
        now_in := CASE WHEN rule = 'via' THEN coalesce((SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                AND c.row_id = owner AND c.operation <> 'DELETE' LIMIT 1), ryzed.owner_of(above, owner))
            WHEN owner IS NOT NULL THEN 'user:' || owner WHEN rule = 'owner_or_global' THEN 'global' END;
    END IF;
    is_same := is_same AND old_id = new_id AND was IS NOT DISTINCT FROM now_in;
    IF is_same THEN
        IF was IS NOT NULL AND former <> to_jsonb(NEW) THEN
            PERFORM ryzed.book(of_table, ARRAY[new_id], ARRAY[was], ARRAY['UPDATE'], ARRAY[(SELECT jsonb_object_agg(e.key, e.value)
                FROM jsonb_each(former) e WHERE e.value IS DISTINCT FROM to_jsonb(NEW) -> e.key)], deep);
        END IF;
        RETURN NULL;
    END IF;
    PERFORM ryzed.hold(ARRAY[was, now_in]);
    IF was IS NOT NULL THEN
        PERFORM ryzed.book(of_table, ARRAY[old_id], ARRAY[was], ARRAY['DELETE'], ARRAY[former], deep);
    END IF;
    IF now_in IS NOT NULL THEN
        PERFORM ryzed.book(of_table, ARRAY[new_id], ARRAY[now_in], ARRAY['INSERT'], NULL, deep);
        PERFORM ryzed.carry(of_table, ARRAY[new_id], ARRAY[now_in]);
    END IF;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION ryzed.scope_sql(text, text), ryzed.ids_after(text, uuid, bigint), ryzed.differences(text, uuid[]),
    ryzed.mend_rows(text, uuid[]), ryzed.blind_note(text), ryzed.fires(oid), ryzed.settle(text, timestamptz), ryzed.switch_on(text),
    ryzed.record_row() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ryzed.ids_after(text, uuid, bigint), ryzed.differences(text, uuid[]), ryzed.mend_rows(text, uuid[]),
    ryzed.blind_note(text), ryzed.settle(text, timestamptz), ryzed.switch_on(text) TO ryzed_daemon;
