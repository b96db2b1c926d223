-- An earlier release books what comes, whatever has become of the table.
DROP FUNCTION ryzed.mend(text, boolean, xid8);
DROP FUNCTION ryzed.unseen_since(text);
DROP FUNCTION ryzed.enter_gone(text, bigint);
DROP FUNCTION ryzed.tell_passed(text);
DROP FUNCTION ryzed.tell_again(text, uuid[], text[]);
CREATE OR REPLACE FUNCTION ryzed.record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
-- A synced table may have columns of any name.
#variable_conflict use_variable
DECLARE
    part_rows CONSTANT bigint := 50000;
    of_table text := TG_ARGV[4];
    adopted boolean := TG_ARGV[5];
    -- Whether statements see what others have committed since the transaction began.
    sees_others boolean := current_setting('transaction_isolation') = 'read committed';
    rule text := TG_ARGV[0];
    owner_column text := TG_ARGV[1];
    above text := TG_ARGV[2];
    deep text[] := TG_ARGV[3];
    total bigint;
    part record;
    wanted text[];
    held text[] := '{}';
BEGIN
    -- An INSERT that may become an UPDATE calls both triggers, one of them with nothing.
    IF TG_OP = 'DELETE' THEN
        total := (SELECT count(*) FROM old_rows);
    ELSE
        total := (SELECT count(*) FROM new_rows);
    END IF;
    IF total = 0 THEN
        RETURN NULL;
    END IF;
    IF adopted AND (NOT sees_others OR EXISTS (SELECT FROM ryzed.entering e WHERE NOT e.done)) THEN
        -- The index, or what this transaction sees of it, may not know every row yet.
        IF TG_OP = 'INSERT' THEN
            IF rule = 'via' THEN
                PERFORM ryzed.hold(ARRAY(SELECT DISTINCT ryzed.owner_of(above, (to_jsonb(n) ->> owner_column)::uuid)
                    FROM new_rows n));
            END IF;
        ELSIF EXISTS (SELECT FROM old_rows o WHERE NOT EXISTS (SELECT FROM ryzed.changes c
            WHERE c.table_name = of_table AND c.row_id = o.id AND c.operation <> 'DELETE')) THEN
            -- Waits for a batch that is entering these rows, and keeps further ones away until this transaction ends. In a
            -- transaction whose snapshot is older than the last batch, or than the note about it, this fails: it could not
            -- see what was entered, and has to be tried again.
            IF NOT sees_others THEN
                INSERT INTO ryzed.entering (table_name, done) VALUES (of_table, TRUE) ON CONFLICT DO NOTHING;
            END IF;
            PERFORM FROM ryzed.entering e WHERE e.table_name = of_table FOR SHARE;
            IF TG_OP = 'UPDATE' THEN
                -- Whoever adds a child takes its scope from the parent, and must find the parent where it will be.
                PERFORM ryzed.hold(ARRAY(SELECT DISTINCT CASE WHEN rule = 'via' THEN ryzed.owner_of(above, u.owner)
                        WHEN u.owner IS NOT NULL THEN 'user:' || u.owner WHEN rule = 'owner_or_global' THEN 'global' END
                    FROM (SELECT (to_jsonb(o) ->> owner_column)::uuid AS owner FROM old_rows o
                        UNION SELECT (to_jsonb(n) ->> owner_column)::uuid FROM new_rows n) u));
            END IF;
        END IF;
    END IF;
    -- Whoever holds the scopes of a row and of its parent can't lose them to another owner meanwhile. A row whose parent is
    -- being moved is not locked by that, so where it is has to be asked again after every wait.
    WHILE rule = 'via' LOOP
        IF TG_OP = 'INSERT' THEN
            wanted := ARRAY(SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                AND c.row_id = (to_jsonb(n) ->> owner_column)::uuid AND c.operation <> 'DELETE' LIMIT 1) FROM new_rows n);
        ELSIF TG_OP = 'DELETE' THEN
            wanted := ARRAY(SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table
                AND c.row_id = o.id AND c.operation <> 'DELETE' LIMIT 1) FROM old_rows o);
        ELSE
            wanted := ARRAY(SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table
                AND c.row_id = o.id AND c.operation <> 'DELETE' LIMIT 1) FROM old_rows o
                UNION SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                AND c.row_id = (to_jsonb(n) ->> owner_column)::uuid AND c.operation <> 'DELETE' LIMIT 1) FROM new_rows n);
        END IF;
        wanted := array_remove(wanted, NULL);
        EXIT WHEN wanted <@ held;
        PERFORM ryzed.hold(wanted);
        held := held || wanted;
    END LOOP;

    IF TG_OP = 'INSERT' THEN
        FOR place IN 0 .. total - 1 BY part_rows LOOP
            IF rule = 'via' THEN
                SELECT array_agg(r.id) AS ids, array_agg(r.scope) AS scopes, array_agg('INSERT'::text) AS operations INTO part
                FROM (
                    SELECT n.id, coalesce((SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                        AND c.row_id = n.owner AND c.operation <> 'DELETE' LIMIT 1), ryzed.owner_of(above, n.owner)) AS scope
                    FROM (SELECT x.id, (to_jsonb(x) ->> owner_column)::uuid AS owner FROM new_rows x
                        OFFSET place LIMIT part_rows) n
                    OFFSET 0
                ) r WHERE r.scope IS NOT NULL;
            ELSE
                SELECT array_agg(r.id) AS ids, array_agg(r.scope) AS scopes, array_agg('INSERT'::text) AS operations INTO part
                FROM (
                    SELECT n.id, CASE WHEN n.owner IS NOT NULL THEN 'user:' || n.owner
                        WHEN rule = 'owner_or_global' THEN 'global' END AS scope
                    FROM (SELECT x.id, (to_jsonb(x) ->> owner_column)::uuid AS owner FROM new_rows x
                        OFFSET place LIMIT part_rows) n
                ) r WHERE r.scope IS NOT NULL;
            END IF;
            IF part.ids IS NOT NULL THEN
                PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, NULL, deep);
            END IF;
        END LOOP;

    ELSIF TG_OP = 'DELETE' THEN
        -- Whose a row was is read from the index: in a cascade the parent is already gone.
        FOR place IN 0 .. total - 1 BY part_rows LOOP
            SELECT array_agg(r.id) AS ids, array_agg(r.was) AS scopes, array_agg('DELETE'::text) AS operations,
                array_agg(r.former) AS formers INTO part
            FROM (
                SELECT o.id, to_jsonb(o) AS former, (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table
                    AND c.row_id = o.id AND c.operation <> 'DELETE' LIMIT 1) AS was
                FROM (SELECT * FROM old_rows OFFSET place LIMIT part_rows) o
                OFFSET 0
            ) r WHERE r.was IS NOT NULL;
            IF part.ids IS NOT NULL THEN
                PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, part.formers, deep);
            END IF;
        END LOOP;

    ELSE
        -- A row is the same row when it has the same id: another id is another row.
        FOR part IN
            WITH pairs AS MATERIALIZED (
                SELECT u.id, min(u.place) AS place, (array_agg(u.j) FILTER (WHERE u.was))[1] AS o,
                    (array_agg(u.j) FILTER (WHERE NOT u.was))[1] AS n
                FROM (
                    SELECT x.id, to_jsonb(x) AS j, TRUE AS was, row_number() OVER () AS place FROM old_rows x
                    UNION ALL
                    SELECT x.id, to_jsonb(x), FALSE, row_number() OVER () FROM new_rows x
                ) u GROUP BY u.id
            ), placed AS MATERIALIZED (
                SELECT p.*, row_number() OVER (ORDER BY p.place) AS rank,
                    (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = p.id
                        AND c.operation <> 'DELETE' LIMIT 1) AS was,
                    CASE WHEN p.n IS NULL THEN NULL
                    WHEN rule = 'via' THEN coalesce((SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                        AND c.row_id = (p.n ->> owner_column)::uuid AND c.operation <> 'DELETE' LIMIT 1),
                        ryzed.owner_of(above, (p.n ->> owner_column)::uuid))
                    WHEN p.n ->> owner_column IS NOT NULL THEN 'user:' || (p.n ->> owner_column)
                    WHEN rule = 'owner_or_global' THEN 'global' END AS scope
                FROM pairs p WHERE p.o IS DISTINCT FROM p.n
            ), told AS (
                SELECT p.rank, 1 AS turn, p.id, p.was AS scope, 'DELETE' AS operation, p.o AS former FROM placed p
                WHERE p.was IS NOT NULL AND p.was IS DISTINCT FROM p.scope
                UNION ALL
                SELECT p.rank, 2, p.id, p.scope, 'INSERT', NULL FROM placed p
                WHERE p.scope IS NOT NULL AND p.was IS DISTINCT FROM p.scope
                UNION ALL
                SELECT p.rank, 2, p.id, p.scope, 'UPDATE', (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(p.o) e
                    WHERE e.value IS DISTINCT FROM p.n -> e.key) FROM placed p WHERE p.was = p.scope AND p.o IS NOT NULL
            )
            SELECT array_agg(t.id ORDER BY t.turn, t.rank) AS ids, array_agg(t.scope ORDER BY t.turn, t.rank) AS scopes,
                array_agg(t.operation ORDER BY t.turn, t.rank) AS operations,
                array_agg(t.former ORDER BY t.turn, t.rank) AS formers,
                array_agg(t.id ORDER BY t.rank) FILTER (WHERE t.operation = 'INSERT') AS moved,
                array_agg(t.scope ORDER BY t.rank) FILTER (WHERE t.operation = 'INSERT') AS moved_into
            FROM told t GROUP BY (t.rank - 1) / part_rows ORDER BY min(t.rank)
        LOOP
            PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, part.formers, deep);
            IF part.moved IS NOT NULL THEN
                PERFORM ryzed.carry(of_table, part.moved, part.moved_into);
            END IF;
        END LOOP;
    END IF;
    RETURN NULL;
END $$;
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
CREATE OR REPLACE FUNCTION ryzed.bring_below() RETURNS trigger
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
CREATE OR REPLACE FUNCTION ryzed.owner_of(of_table text, id uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t ryzed.tables;
    above uuid;
    found_row boolean;
BEGIN
    SELECT * INTO t FROM ryzed.tables x WHERE x.table_name = of_table;
    IF t.table_name IS NULL OR id IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT r.%I, TRUE FROM %s r WHERE r.id = $1', t.owner_column, t.relation) INTO above, found_row USING id;
    RETURN CASE
        WHEN found_row IS NULL THEN NULL
        WHEN t.rule = 'via' THEN ryzed.owner_of(t.parent, above)
        WHEN above IS NOT NULL THEN 'user:' || above
        WHEN t.rule = 'owner_or_global' THEN 'global' END;
END $$;
CREATE OR REPLACE FUNCTION ryzed.carry(of_parent text, parents uuid[], into_scopes text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
DECLARE
    child ryzed.tables;
    below record;
    leaving record;
BEGIN
    FOR child IN SELECT * FROM ryzed.tables t WHERE t.parent = of_parent ORDER BY t.table_name LOOP
        EXECUTE format(
            'SELECT array_agg(r.id) AS ids, array_agg(p.scope) AS scopes, array_agg(to_jsonb(r)) AS rows '
            'FROM %s r JOIN unnest($1, $2) AS p (id, scope) ON r.%I = p.id', child.relation, child.owner_column)
        INTO below USING parents, into_scopes;
        CONTINUE WHEN below.ids IS NULL;
        SELECT array_agg(b.id) AS ids, array_agg(b.scope) AS scopes, array_agg(b.row) AS rows, array_agg(b.was) AS was
        INTO leaving
        FROM (
            SELECT d.*, (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = child.table_name AND c.row_id = d.id
                AND c.operation <> 'DELETE' LIMIT 1) AS was
            FROM unnest(below.ids, below.scopes, below.rows) AS d (id, scope, row)
        ) b WHERE b.was IS DISTINCT FROM b.scope;
        IF leaving.ids IS NOT NULL THEN
            PERFORM ryzed.book(child.table_name, array_agg(m.id), array_agg(m.scope), array_agg(m.operation),
                array_agg(m.former), child.deep)
            FROM (
                SELECT l.id, l.was AS scope, 'DELETE' AS operation, l.row AS former
                FROM unnest(leaving.ids, leaving.was, leaving.rows) AS l (id, was, row) WHERE l.was IS NOT NULL
                UNION ALL
                SELECT l.id, l.scope, 'INSERT', NULL FROM unnest(leaving.ids, leaving.scopes) AS l (id, scope)
            ) m;
        END IF;
        PERFORM ryzed.carry(child.table_name, below.ids, below.scopes);
    END LOOP;
END $$;
CREATE OR REPLACE FUNCTION ryzed.enter(of_table text, most bigint, OUT seen bigint, OUT is_done boolean, OUT held_ms double precision)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    t ryzed.tables;
    from_id uuid;
    ids uuid[];
    held text[];
    unheld boolean;
    found_ids uuid[];
    found_scopes text[];
    began timestamptz;
    reading text;
BEGIN
    SELECT * INTO STRICT t FROM ryzed.tables x WHERE x.table_name = of_table;
    -- From here on nobody changes a row of this table that is not entered.
    UPDATE ryzed.entering e SET rows = e.rows WHERE e.table_name = of_table RETURNING e.upto INTO STRICT from_id;
    EXECUTE format('SELECT array_agg(r.id ORDER BY r.id) FROM (SELECT r.id FROM %s r WHERE $1 IS NULL OR r.id > $1 '
        'ORDER BY r.id LIMIT $2) r', t.relation) INTO ids USING from_id, most;
    ids := coalesce(ids, '{}');
    reading := format('SELECT i.id, CASE WHEN $2 = ''via'' THEN (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = $3 '
        'AND c.row_id = r.%1$I AND c.operation <> ''DELETE'' LIMIT 1) WHEN r.%1$I IS NOT NULL THEN ''user:'' || r.%1$I '
        'WHEN $2 = ''owner_or_global'' THEN ''global'' END AS scope FROM unnest($1) i (id) JOIN %2$s r ON r.id = i.id '
        'WHERE NOT EXISTS (SELECT FROM ryzed.changes c WHERE c.table_name = $4 AND c.row_id = i.id AND c.operation <> ''DELETE'')',
        t.owner_column, t.relation);
    EXECUTE format('SELECT coalesce(array_agg(DISTINCT x.scope), ''{}'') FROM (%s) x', reading)
        INTO held USING ids, t.rule, t.parent, of_table;
    PERFORM ryzed.hold(held);
    began := clock_timestamp();
    -- Anew: what those did who held a scope until now is seen only now.
    EXECUTE format('SELECT array_agg(x.id), array_agg(x.scope), bool_or(x.scope <> ALL ($5)) FROM (%s) x '
        'WHERE x.scope IS NOT NULL', reading)
        INTO found_ids, found_scopes, unheld USING ids, t.rule, t.parent, of_table, held;
    IF unheld THEN
        RAISE serialization_failure USING MESSAGE = 'could not serialize access: a row moved while it was entered';
    END IF;
    IF found_ids IS NOT NULL THEN
        PERFORM ryzed.book(of_table, found_ids, found_scopes, array_fill('INSERT'::text, ARRAY[cardinality(found_ids)]), NULL, '{}');
    END IF;
    seen := cardinality(ids);
    is_done := seen < most;
    UPDATE ryzed.entering e SET upto = coalesce(ids[seen], e.upto), rows = e.rows + seen, done = is_done
        WHERE e.table_name = of_table;
    held_ms := extract(epoch FROM clock_timestamp() - began) * 1000;
END $$;
CREATE OR REPLACE FUNCTION ryzed.enter_gone(of_table text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation regclass := (SELECT t.relation FROM ryzed.tables t WHERE t.table_name = of_table);
    gone_ids uuid[];
    gone_scopes text[];
BEGIN
    EXECUTE format('SELECT array_agg(c.row_id), array_agg(c.scope) FROM ryzed.changes c WHERE c.table_name = $1 '
        'AND c.operation <> ''DELETE'' AND NOT EXISTS (SELECT FROM %s r WHERE r.id = c.row_id)', relation)
        INTO gone_ids, gone_scopes USING of_table;
    IF gone_ids IS NOT NULL THEN
        PERFORM ryzed.book(of_table, gone_ids, gone_scopes, array_fill('DELETE'::text, ARRAY[cardinality(gone_ids)]), NULL, '{}');
    END IF;
    RETURN coalesce(cardinality(gone_ids), 0);
END $$;
CREATE OR REPLACE FUNCTION ryzed.backfill(of_table text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation regclass := (SELECT t.relation FROM ryzed.tables t WHERE t.table_name = of_table);
    missing uuid[];
BEGIN
    EXECUTE format(
        'SELECT array_agg(r.id) FROM %s r WHERE NOT EXISTS (SELECT FROM ryzed.changes c '
        'WHERE c.table_name = $1 AND c.row_id = r.id AND c.operation <> ''DELETE'')', relation)
    INTO missing USING of_table;
    PERFORM ryzed.book(of_table, array_agg(m.id), array_agg(m.scope), array_agg('INSERT'::text), NULL, '{}')
    FROM (SELECT id, ryzed.owner_of(of_table, id) AS scope FROM unnest(missing) id) m WHERE m.scope IS NOT NULL
    HAVING count(*) > 0;
END $$;
REVOKE ALL ON FUNCTION ryzed.enter_gone(text), ryzed.backfill(text) FROM PUBLIC;
DROP FUNCTION ryzed.stop(text);
DROP FUNCTION ryzed.is_stopped(text);
DROP FUNCTION ryzed.strayed(text);
DROP FUNCTION ryzed.is_rewritten(text);
DROP FUNCTION ryzed.stamp(text, text);
DROP FUNCTION ryzed.writers_of(oid);
DROP FUNCTION ryzed.policies_of(oid);
DROP FUNCTION ryzed.triggers_of(oid);
DROP FUNCTION ryzed.stamp_of(oid, text);
DROP FUNCTION ryzed.is_another();
ALTER TABLE ryzed.entering DROP anew, DROP since_xid;
DROP TABLE ryzed.passed;
DROP TABLE ryzed.stopped;
ALTER TABLE ryzed.tables DROP lineage, DROP stamp, DROP columns, DROP file, DROP writers, DROP triggers, DROP policies, DROP guarded, DROP made;
