-- The same as before with less to get ready: a change of one row is what happens all day, and most of its time went there.

-- Locks scopes against other writers until the transaction ends, always in the same order. Every version is taken under
-- this lock, so the order of versions is the order of commits. As ryzed.book(), it sets nothing itself and is called by
-- functions that have set the search path; those that run with every write also keep the planner from reading tables from end
-- to end.
CREATE OR REPLACE FUNCTION ryzed.hold(wanted text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    sorted text[] := ARRAY(SELECT DISTINCT w FROM unnest(wanted) w WHERE w IS NOT NULL ORDER BY w);
    held bigint;
BEGIN
    LOOP
        PERFORM FROM ryzed.scopes s WHERE s.scope = ANY (sorted) ORDER BY s.scope FOR NO KEY UPDATE;
        GET DIAGNOSTICS held = ROW_COUNT;
        EXIT WHEN held >= cardinality(sorted);
        INSERT INTO ryzed.scopes (scope, changed_at)
        SELECT w, clock_timestamp() FROM unnest(sorted) w ORDER BY w ON CONFLICT (scope) DO NOTHING;
    END LOOP;
END $$;

-- Gives every row of the list the next version of its scope: a row that is new there (INSERT), has other values there
-- (UPDATE; its former value holds the changed columns' old ones), or is no longer there (DELETE; the former row).
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
                    SELECT jsonb_object_agg(f.key,
                        CASE WHEN f.key = ANY (deep) AND c.previous ? f.key
                        THEN CASE WHEN jsonb_array_length(c.previous -> f.key) < 32
                            THEN c.previous -> f.key ELSE (c.previous -> f.key) - 0 END
                        ELSE '[]' END
                        || jsonb_build_array(jsonb_build_array(
                            coalesce(c.field_versions -> f.key, c.field_versions -> '*'), f.value)))
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

-- The trigger of every synced table, once a statement. Its arguments: rule, owner column, parent, deep columns, the table's
-- name on the wire, whether the table was adopted.
-- Rows are worked through in parts, so that the memory it takes is bounded; a part is more than most statements have.
-- Plans are kept for a session, and the first may be made for one row and an empty index: so the index is asked in scalar
-- subqueries, whose plan no size of a transition table changes, and never read from end to end.
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

-- Locks what the caller may write, so that whoever comes second reads what the first has done.
CREATE OR REPLACE FUNCTION ryzed.hold_own() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
    PERFORM ryzed.hold(ARRAY['user:' || auth.uid(), CASE WHEN ryzed.keeps_catalogue() THEN 'global' END]);
END $$;

-- Which of these rows somebody else has. Not who: the scope is nobody's. Written so that its plan is kept.
CREATE OR REPLACE FUNCTION ryzed.elsewhere(of_table text, ids uuid[]) RETURNS TABLE (row_id uuid, scope text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    own text := 'user:' || auth.uid();
BEGIN
    IF NOT ryzed.is_daemon() THEN
        RETURN QUERY SELECT i.id, 'user:00000000-0000-0000-0000-000000000000' FROM unnest(ids) i (id) CROSS JOIN LATERAL (
            SELECT FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = i.id AND c.operation <> 'DELETE'
            AND c.scope <> 'global' AND c.scope IS DISTINCT FROM own LIMIT 1) c;
    END IF;
END $$;
