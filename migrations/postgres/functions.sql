-- The functions of the schema ryzed, each in its newest form: the one place for their logic. Migrations up to 0019 bring earlier
-- forms, which they use themselves; later ones bring tables and data alone. The daemon installs this text behind the migrations,
-- in one transaction with those after 0019, where its number is above the one that the database has (decision 0080).
--
-- A function keeps its name, its arguments and what they mean: an instance of the release before may still call it, and so do
-- triggers that it has put up. Every function is for the owner of the schema alone unless the end of this file says otherwise.

-- Locks scopes against other writers until the transaction ends, always in the same order. Every version is taken under
-- this lock, so the order of versions is the order of commits. As ryzed.book(), it sets nothing itself and is called by
-- functions that have set the search path; those that run with every write also keep the planner from reading tables from end
-- to end, and from planning what it has planned.
CREATE OR REPLACE FUNCTION ryzed.hold(wanted text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    sorted text[] := array_remove(wanted, NULL);
    held bigint;
BEGIN
    -- Most writers need one, which needs no order.
    IF cardinality(sorted) = 1 THEN
        PERFORM FROM ryzed.scopes s WHERE s.scope = sorted[1] FOR NO KEY UPDATE;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    sorted := ARRAY(SELECT DISTINCT w FROM unnest(sorted) w ORDER BY w);
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
-- A change of nothing that travels is none, unless a policy of the application may go by it and so show the row or hide it.
CREATE OR REPLACE FUNCTION ryzed.book(
    of_table text, ids uuid[], scopes text[], operations text[], formers jsonb[], deep text[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    booked bigint;
    -- Empty outside of the daemon's own transactions; * for the daemon on no device's behalf.
    device text := nullif(current_setting('ryzed.device', true), '');
    -- Whose device that is: in another's scope a device of the same name is another, and it is the daemon that writes.
    own_scope text := CASE WHEN device <> '*' THEN 'user:' || auth.uid() END;
    travelling text[];
    strange bigint[] := '{}';
    below_ids uuid[];
    below_scopes text[];
BEGIN
    -- The triggers of the index keep the sums, whatever the caller's session has set.
    IF current_setting('ryzed.counted', true) = 'yes' THEN
        PERFORM set_config('ryzed.counted', '', true);
    END IF;
    IF formers IS NOT NULL THEN
        strange := ryzed.strange_formers(of_table, scopes, operations, formers);
        IF strange <> '{}' THEN
            SELECT array_agg(CASE WHEN u.operation = 'UPDATE' AND u.place = ANY (strange) THEN 'INSERT' ELSE u.operation END ORDER BY u.place),
                array_agg(CASE WHEN u.place <> ALL (strange) THEN u.former END ORDER BY u.place),
                array_agg(u.row_id) FILTER (WHERE u.place = ANY (strange)), array_agg(u.scope) FILTER (WHERE u.place = ANY (strange))
            INTO operations, formers, below_ids, below_scopes
            FROM unnest(ids, scopes, operations, formers) WITH ORDINALITY AS u (row_id, scope, operation, former, place);
        END IF;
        travelling := (SELECT k.columns FROM ryzed.kept k WHERE k.table_name = of_table);
        IF EXISTS (SELECT FROM unnest(formers) f (former) WHERE f.former - travelling <> '{}') THEN
            SELECT array_agg(d.row_id ORDER BY d.place), array_agg(d.scope ORDER BY d.place),
                array_agg(d.operation ORDER BY d.place), array_agg(d.former ORDER BY d.place)
            INTO ids, scopes, operations, formers
            FROM (
                SELECT u.row_id, u.scope, u.operation, u.place,
                    u.former - ARRAY(SELECT jsonb_object_keys(u.former - travelling)) AS former
                FROM unnest(ids, scopes, operations, formers) WITH ORDINALITY AS u (row_id, scope, operation, former, place)
            ) d WHERE d.operation <> 'UPDATE' OR d.former <> '{}' OR ryzed.is_judged(of_table);
            IF ids IS NULL THEN
                RETURN;
            END IF;
        END IF;
    END IF;
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
        SELECT of_table, d.row_id, d.scope, m.base + d.step, d.operation, m.changed_at,
            CASE WHEN device <> '*' THEN CASE WHEN d.scope IN ('global', own_scope) THEN device ELSE 'ryzed' END END,
            CASE d.operation
                WHEN 'INSERT' THEN jsonb_build_object('*', m.base + d.step)
                WHEN 'UPDATE' THEN coalesce(
                    (SELECT jsonb_object_agg(k, m.base + d.step) FROM jsonb_object_keys(d.former) k), '{}')
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
                WHEN 'UPDATE' THEN c.previous || coalesce((
                    SELECT jsonb_object_agg(f.key, CASE WHEN pg_column_size(f.value) > 16384 THEN '[]' ELSE
                        CASE WHEN f.key = ANY (deep) AND c.previous ? f.key
                        THEN CASE WHEN jsonb_array_length(c.previous -> f.key) < 32
                            THEN c.previous -> f.key ELSE (c.previous -> f.key) - 0 END
                        ELSE '[]' END
                        || jsonb_build_array(jsonb_build_array(
                            coalesce(c.field_versions -> f.key, c.field_versions -> '*'), f.value)) END)
                    FROM jsonb_each(excluded.previous) f), '{}')
                ELSE excluded.previous END;
        GET DIAGNOSTICS booked = ROW_COUNT;
        EXIT WHEN booked > 0;
        -- The first change of all in this scope.
        PERFORM ryzed.hold(scopes);
    END LOOP;
    IF below_ids IS NOT NULL THEN
        PERFORM ryzed.forget_below(of_table, below_ids, below_scopes);
    END IF;
    IF device IS NULL THEN
        PERFORM pg_notify('ryzed', '');
    END IF;
END $$;

-- Books the change of one row as ryzed.book() does, in few statements: an INSERT of a row that the index does not know in this
-- scope or, where former values are given, an UPDATE of one that it knows there. Says whether it was; else nothing has happened.
CREATE OR REPLACE FUNCTION ryzed.book_row(of_table text, id uuid, in_scope text, former jsonb, deep text[]) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    p CONSTANT bigint := 67108859;
    q CONSTANT bigint := 67108763;
    device text := nullif(current_setting('ryzed.device', true), '');
    source text;
    taken bigint;
    moment timestamptz;
    before bigint := 0;
    is_booked boolean;
    counted text;
    weight bigint;
    more bigint := CASE WHEN former IS NULL THEN 1 ELSE 0 END;
BEGIN
    IF device <> '*' THEN
        source := CASE WHEN in_scope IN ('global', 'user:' || auth.uid()) THEN device ELSE 'ryzed' END;
    END IF;
    -- Takes the version and so locks the scope: all that follows sees what those did who had it before.
    UPDATE ryzed.scopes s SET version = s.version + 1, changed_at = greatest(s.changed_at, clock_timestamp())
        WHERE s.scope = in_scope RETURNING s.version, s.changed_at INTO taken, moment;
    IF taken IS NULL THEN
        RETURN FALSE;
    END IF;
    -- The sums are kept below: the triggers of the index, which would take longer for one row, leave it.
    counted := set_config('ryzed.counted', 'yes', true);
    IF former IS NULL THEN
        INSERT INTO ryzed.changes (table_name, row_id, scope, version, operation, changed_at, source_device, field_versions)
        VALUES (of_table, id, in_scope, taken, 'INSERT', moment, source, jsonb_build_object('*', taken))
        ON CONFLICT (table_name, row_id, scope) DO NOTHING;
    ELSE
        UPDATE ryzed.changes c SET version = taken, operation = 'UPDATE', changed_at = moment, source_device = source,
            field_versions = c.field_versions || (SELECT jsonb_object_agg(k, taken) FROM jsonb_object_keys(former) k),
            -- As ryzed.book() has it.
            previous = c.previous || (
                SELECT jsonb_object_agg(f.key, CASE WHEN pg_column_size(f.value) > 16384 THEN '[]' ELSE
                    CASE WHEN f.key = ANY (deep) AND c.previous ? f.key
                    THEN CASE WHEN jsonb_array_length(c.previous -> f.key) < 32
                        THEN c.previous -> f.key ELSE (c.previous -> f.key) - 0 END
                    ELSE '[]' END
                    || jsonb_build_array(jsonb_build_array(
                        coalesce(c.field_versions -> f.key, c.field_versions -> '*'), f.value)) END)
                FROM jsonb_each(former) f)
        FROM ryzed.changes o WHERE o.row_id = id AND o.table_name = of_table AND o.scope = in_scope AND o.operation <> 'DELETE'
            AND c.row_id = o.row_id AND c.table_name = o.table_name AND c.scope = o.scope
        RETURNING o.version INTO before;
    END IF;
    is_booked := FOUND;
    counted := set_config('ryzed.counted', '', true);
    IF NOT is_booked THEN
        UPDATE ryzed.scopes s SET version = s.version - 1 WHERE s.scope = in_scope;
        RETURN FALSE;
    END IF;
    weight := ryzed.number_of(id);
    weight := ryzed.weight(weight);
    UPDATE ryzed.sums s SET rows = s.rows + more, version_sum = s.version_sum + taken - before,
        hash_p = (s.hash_p + (weight >> 26) * ((taken - before) % p)) % p,
        hash_q = (s.hash_q + (weight & 67108863) * ((taken - before) % q)) % q
        WHERE s.scope = in_scope AND s.table_name = of_table;
    IF NOT FOUND THEN
        INSERT INTO ryzed.sums (scope, table_name, rows, version_sum, hash_p, hash_q)
        VALUES (in_scope, of_table, more, taken - before, (weight >> 26) * ((taken - before) % p) % p,
            (weight & 67108863) * ((taken - before) % q) % q);
    END IF;
    IF device IS NULL THEN
        is_booked := pg_notify('ryzed', '') IS NOT NULL;
    END IF;
    RETURN TRUE;
END $$;

-- The scope of a row as the tables have it, for rows that the index does not know yet. NULL where a parent is missing.
CREATE OR REPLACE FUNCTION ryzed.owner_of(of_table text, id uuid) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    t ryzed.tables;
    above uuid;
    found_row boolean;
BEGIN
    SELECT * INTO t FROM ryzed.tables x WHERE x.table_name = of_table;
    IF t.table_name IS NULL OR id IS NULL OR (t.stamp = ryzed.stamp_of(t.relation, t.owner_column)) IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT r.%I, TRUE FROM %s r WHERE r.id = $1', t.owner_column, t.relation) INTO above, found_row USING id;
    RETURN CASE
        WHEN found_row IS NULL THEN NULL
        WHEN t.rule = 'via' THEN ryzed.owner_of(t.parent, above)
        WHEN above IS NOT NULL THEN 'user:' || above
        WHEN t.rule = 'owner_or_global' THEN 'global' END;
END $$;

-- Takes the descendants of rows that have moved into other scopes along.
CREATE OR REPLACE FUNCTION ryzed.carry(of_parent text, parents uuid[], into_scopes text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
DECLARE
    child ryzed.tables;
    below record;
    leaving record;
BEGIN
    FOR child IN SELECT * FROM ryzed.tables t WHERE t.parent = of_parent ORDER BY t.table_name LOOP
        IF (child.stamp = ryzed.stamp_of(child.relation, child.owner_column)) IS NOT TRUE THEN
            PERFORM ryzed.stop(child.table_name);
            CONTINUE;
        END IF;
        EXECUTE format(
            'SELECT array_agg(r.id) AS ids, array_agg(p.scope) AS scopes, array_agg(to_jsonb(r.*)) AS rows '
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

-- The trigger of every synced table, once a statement. Its arguments: rule, owner column, parent, deep columns, the table's
-- name on the wire, whether the table was adopted.
-- Rows are worked through in parts, so that the memory it takes is bounded; a part is more than most statements have.
-- Plans for few rows are made once and kept for a session: making one takes longer than such a statement does. They may be made
-- for one row and an empty index: so the index is asked in scalar subqueries, whose plan no size of a transition table changes,
-- and never read from end to end. Statements of many rows are planned for what they are.
CREATE OR REPLACE FUNCTION ryzed.record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
-- A synced table may have columns of any name.
#variable_conflict use_variable
DECLARE
    part_rows CONSTANT bigint := 50000;
    few_rows CONSTANT bigint := 100;
    of_table text := TG_ARGV[4];
    adopted boolean := TG_ARGV[5];
    -- Whether statements see what others have committed since the transaction began.
    sees_others boolean := current_setting('transaction_isolation') = 'read committed';
    rule text := TG_ARGV[0];
    owner_column text := TG_ARGV[1];
    above text := TG_ARGV[2];
    deep text[] := TG_ARGV[3];
    total bigint;
    -- The first row, in a form that needs no column to be there.
    former jsonb;
    given jsonb;
    is_as_made boolean;
    part record;
    wanted text[];
    held text[] := '{}';
    travelling text[];
    in_scope text;
BEGIN
    -- An INSERT that may become an UPDATE calls both triggers, one of them with nothing.
    IF TG_OP = 'DELETE' THEN
        total := (SELECT count(*) FROM old_rows);
    ELSIF TG_OP = 'INSERT' THEN
        SELECT count(*) OVER (), to_jsonb(n.*) INTO total, given FROM new_rows n LIMIT 1;
    ELSE
        SELECT count(*) OVER (), to_jsonb(n.*), (SELECT to_jsonb(o.*) FROM old_rows o LIMIT 1) INTO total, given, former
        FROM new_rows n LIMIT 1;
    END IF;
    IF total IS NULL OR total = 0 THEN
        RETURN NULL;
    END IF;
    -- As ryzed.strayed() has it, in one statement, since it comes with every write.
    IF rule = 'via' THEN
        is_as_made := (SELECT t.relation = TG_RELID AND t.rule = rule AND t.owner_column = owner_column AND NOT EXISTS (
                SELECT FROM unnest(t.lineage) AS u (name) WHERE NOT EXISTS (SELECT FROM ryzed.tables a
                    JOIN pg_class c ON c.oid = a.relation JOIN pg_attribute i ON i.attrelid = c.oid AND i.attname = 'id'
                    JOIN pg_attribute o ON o.attrelid = c.oid AND o.attname = a.owner_column::name
                    WHERE a.table_name = u.name AND a.stamp = concat_ws(' ', c.oid, i.attnum, i.atttypid, o.attnum, o.atttypid,
                        c.relowner, c.relnamespace::regnamespace, c.relname)))
            FROM ryzed.tables t WHERE t.table_name = of_table);
    ELSE
        is_as_made := (SELECT t.rule = rule AND t.owner_column = owner_column AND t.stamp = concat_ws(' ', c.oid, i.attnum, i.atttypid,
                o.attnum, o.atttypid, c.relowner, c.relnamespace::regnamespace, c.relname)
            FROM ryzed.tables t CROSS JOIN pg_class c CROSS JOIN pg_attribute i CROSS JOIN pg_attribute o WHERE t.table_name = of_table
            AND c.oid = TG_RELID AND i.attrelid = TG_RELID AND i.attname = 'id' AND o.attrelid = TG_RELID AND o.attname = owner_column::name);
    END IF;
    IF NOT sees_others AND NOT EXISTS (SELECT FROM ryzed.tables t WHERE t.table_name = of_table) THEN
        RAISE serialization_failure USING MESSAGE = 'could not serialize access: the table was adopted meanwhile';
    END IF;
    IF is_as_made IS NOT TRUE OR (NOT sees_others AND ryzed.strayed(of_table) IS NOT NULL) THEN
        PERFORM ryzed.stop(of_table);
        RETURN NULL;
    END IF;
    IF adopted AND (NOT sees_others OR EXISTS (SELECT FROM ryzed.entering e WHERE NOT e.done)) THEN
        -- The index, or what this transaction sees of it, may not know every row yet.
        IF TG_OP = 'INSERT' THEN
            IF rule = 'via' THEN
                PERFORM ryzed.hold(ARRAY(SELECT DISTINCT ryzed.owner_of(above, (to_jsonb(n.*) ->> owner_column)::uuid)
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
                    FROM (SELECT (to_jsonb(o.*) ->> owner_column)::uuid AS owner FROM old_rows o
                        UNION SELECT (to_jsonb(n.*) ->> owner_column)::uuid FROM new_rows n) u));
            END IF;
        END IF;
    END IF;
    -- Whoever holds the scopes of a row and of its parent can't lose them to another owner meanwhile. A row whose parent is
    -- being moved is not locked by that, so where it is has to be asked again after every wait.
    WHILE rule = 'via' LOOP
        IF TG_OP = 'INSERT' THEN
            wanted := ARRAY(SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                AND c.row_id = (to_jsonb(n.*) ->> owner_column)::uuid AND c.operation <> 'DELETE' LIMIT 1) FROM new_rows n);
        ELSIF TG_OP = 'DELETE' THEN
            wanted := ARRAY(SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table
                AND c.row_id = o.id AND c.operation <> 'DELETE' LIMIT 1) FROM old_rows o);
        ELSE
            wanted := ARRAY(SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table
                AND c.row_id = o.id AND c.operation <> 'DELETE' LIMIT 1) FROM old_rows o
                UNION SELECT DISTINCT (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                AND c.row_id = (to_jsonb(n.*) ->> owner_column)::uuid AND c.operation <> 'DELETE' LIMIT 1) FROM new_rows n);
        END IF;
        wanted := array_remove(wanted, NULL);
        EXIT WHEN wanted <@ held;
        PERFORM ryzed.hold(wanted);
        held := held || wanted;
    END LOOP;

    -- The short way of most statements: one row, which stays where it is. Where the index knows it otherwise, all is asked below.
    IF total = 1 AND TG_OP <> 'DELETE' AND (TG_OP = 'INSERT'
        OR (former -> 'id' = given -> 'id' AND former -> owner_column = given -> owner_column)) THEN
        IF rule = 'via' THEN
            in_scope := (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                AND c.row_id = (given ->> owner_column)::uuid AND c.operation <> 'DELETE' LIMIT 1);
        ELSE
            in_scope := CASE WHEN given ->> owner_column IS NOT NULL THEN 'user:' || (given ->> owner_column)
                WHEN rule = 'owner_or_global' THEN 'global' END;
        END IF;
        IF TG_OP = 'UPDATE' AND in_scope IS NOT NULL THEN
            travelling := (SELECT k.columns FROM ryzed.kept k WHERE k.table_name = of_table);
            former := (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(former) e
                WHERE e.value IS DISTINCT FROM given -> e.key AND (e.key = ANY (travelling)) IS NOT FALSE);
            IF former IS NULL THEN
                in_scope := NULL;
            END IF;
        END IF;
        IF in_scope IS NOT NULL AND ryzed.book_row(of_table, (given ->> 'id')::uuid, in_scope, former, deep) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF total > few_rows THEN
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;

    IF TG_OP = 'INSERT' THEN
        FOR place IN 0 .. total - 1 BY part_rows LOOP
            IF rule = 'via' THEN
                SELECT array_agg(r.id) AS ids, array_agg(r.scope) AS scopes, array_agg('INSERT'::text) AS operations INTO part
                FROM (
                    SELECT n.id, coalesce((SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                        AND c.row_id = n.owner AND c.operation <> 'DELETE' LIMIT 1), ryzed.owner_of(above, n.owner)) AS scope
                    FROM (SELECT x.id, (to_jsonb(x.*) ->> owner_column)::uuid AS owner FROM new_rows x
                        OFFSET place LIMIT part_rows) n
                    OFFSET 0
                ) r WHERE r.scope IS NOT NULL;
            ELSE
                SELECT array_agg(r.id) AS ids, array_agg(r.scope) AS scopes, array_agg('INSERT'::text) AS operations INTO part
                FROM (
                    SELECT n.id, CASE WHEN n.owner IS NOT NULL THEN 'user:' || n.owner
                        WHEN rule = 'owner_or_global' THEN 'global' END AS scope
                    FROM (SELECT x.id, (to_jsonb(x.*) ->> owner_column)::uuid AS owner FROM new_rows x
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
                SELECT o.id, to_jsonb(o.*) AS former, (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table
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
                    SELECT x.id, to_jsonb(x.*) AS j, TRUE AS was, row_number() OVER () AS place FROM old_rows x
                    UNION ALL
                    SELECT x.id, to_jsonb(x.*), FALSE, row_number() OVER () FROM new_rows x
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

-- TRUNCATE tells no trigger which rows it takes, and fires none of those for deleted rows: so they are noted before it.
CREATE OR REPLACE FUNCTION ryzed.before_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
DECLARE
    part_rows CONSTANT bigint := 50000;
    of_table text := (SELECT t.table_name FROM ryzed.tables t WHERE t.relation = TG_RELID);
    part record;
BEGIN
    IF of_table IS NULL THEN
        RETURN NULL;
    END IF;
    IF ryzed.strayed(of_table) IS NOT NULL THEN
        PERFORM ryzed.stop(of_table);
        RETURN NULL;
    END IF;
    FOR part IN EXECUTE format(
        'SELECT array_agg(g.id) AS ids, array_agg(g.scope) AS scopes, array_agg(''DELETE''::text) AS operations, '
        'array_agg(g.former) AS formers FROM ('
        'SELECT r.id, c.scope, to_jsonb(r.*) AS former, row_number() OVER () AS place FROM %s r JOIN ryzed.changes c '
        'ON c.row_id = r.id AND c.table_name = $1 AND c.operation <> ''DELETE'') g '
        'GROUP BY (g.place - 1) / $2', TG_RELID::regclass) USING of_table, part_rows
    LOOP
        PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, part.formers, '{}');
    END LOOP;
    RETURN NULL;
END $$;

-- Enters the next rows of a table into the index as the table has them; parents before their children. What stood there before
-- the triggers, or came and changed hands while they did not work, is new; of what belongs to another scope than the index
-- believed, that one is told no more than that it is gone. Fails when a row moves into a scope that is not held: once more, then.
CREATE OR REPLACE FUNCTION ryzed.enter(of_table text, most bigint, OUT seen bigint, OUT is_done boolean, OUT held_ms double precision)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    t ryzed.tables;
    e ryzed.entering;
    ids uuid[];
    held text[];
    found record;
    began timestamptz;
    reading text;
BEGIN
    IF ryzed.strayed(of_table) IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('the table %s was changed meanwhile', ryzed.strayed(of_table));
    END IF;
    SELECT * INTO STRICT t FROM ryzed.tables x WHERE x.table_name = of_table;
    -- From here on nobody changes a row of this table that is not entered.
    UPDATE ryzed.entering x SET rows = x.rows WHERE x.table_name = of_table RETURNING * INTO STRICT e;
    EXECUTE format('SELECT array_agg(r.id ORDER BY r.id) FROM (SELECT r.id FROM %s r WHERE $1 IS NULL OR r.id > $1 '
        'ORDER BY r.id LIMIT $2) r', t.relation) INTO ids USING e.upto, most;
    ids := coalesce(ids, '{}');
    -- Of the rows with which something is to be done: where each belongs, where the index has it, whether it may be another than
    -- that believes: written since then, and not by the transaction that wrote the entry.
    reading := format('SELECT x.* FROM (SELECT i.id, CASE WHEN $2 = ''via'' THEN (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = $3 '
        'AND c.row_id = r.%1$I AND c.operation <> ''DELETE'' LIMIT 1) WHEN r.%1$I IS NOT NULL THEN ''user:'' || r.%1$I '
        'WHEN $2 = ''owner_or_global'' THEN ''global'' END AS scope, ARRAY(SELECT c.scope FROM ryzed.changes c WHERE c.table_name = $4 '
        'AND c.row_id = i.id AND c.operation <> ''DELETE'') AS was, coalesce(age(r.xmin) <= age($6::xid), FALSE) AND NOT EXISTS (SELECT '
        'FROM ryzed.changes c WHERE c.table_name = $4 AND c.row_id = i.id AND c.operation <> ''DELETE'' AND c.xmin = r.xmin) AS is_other '
        'FROM unnest($1) i (id) JOIN %2$s r ON r.id = i.id) x '
        'WHERE $5 OR x.is_other OR x.was <> CASE WHEN x.scope IS NULL THEN ''{}'' ELSE ARRAY[x.scope] END', t.owner_column, t.relation);
    EXECUTE format('SELECT coalesce(array_agg(DISTINCT s.scope), ''{}'') FROM (%s) x '
        'CROSS JOIN LATERAL unnest(x.was || x.scope) s (scope) WHERE s.scope IS NOT NULL', reading)
        INTO held USING ids, t.rule, t.parent, of_table, e.anew, e.since_xid;
    PERFORM ryzed.hold(held);
    began := clock_timestamp();
    -- Anew: what those did who held a scope until now is seen only now.
    EXECUTE format('WITH x AS (%s), told AS ('
        'SELECT x.id, w.scope, ''DELETE'' AS operation FROM x CROSS JOIN LATERAL unnest(x.was) w (scope) WHERE w.scope IS DISTINCT FROM x.scope '
        'UNION ALL SELECT x.id, x.scope, ''INSERT'' FROM x WHERE x.scope <> ALL (x.was) OR (x.scope = ANY (x.was) AND x.is_other) '
        'UNION ALL SELECT x.id, x.scope, ''AGAIN'' FROM x WHERE x.scope = ANY (x.was) AND NOT x.is_other AND $5) '
        'SELECT bool_or(m.scope <> ALL ($7)) AS unheld, array_agg(m.id) FILTER (WHERE m.operation <> ''AGAIN'') AS ids, '
        'array_agg(m.scope) FILTER (WHERE m.operation <> ''AGAIN'') AS scopes, '
        'array_agg(m.operation) FILTER (WHERE m.operation <> ''AGAIN'') AS operations, '
        'array_agg(m.id) FILTER (WHERE m.operation = ''AGAIN'') AS same_ids, '
        'array_agg(m.scope) FILTER (WHERE m.operation = ''AGAIN'') AS same_scopes FROM told m', reading)
        INTO found USING ids, t.rule, t.parent, of_table, e.anew, e.since_xid, held;
    IF found.unheld THEN
        RAISE serialization_failure USING MESSAGE = 'could not serialize access: a row moved while it was entered';
    END IF;
    IF found.ids IS NOT NULL THEN
        PERFORM ryzed.book(of_table, found.ids, found.scopes, found.operations, NULL, '{}');
    END IF;
    IF found.same_ids IS NOT NULL THEN
        PERFORM ryzed.tell_again(of_table, found.same_ids, found.same_scopes);
    END IF;
    seen := cardinality(ids);
    is_done := seen < most;
    UPDATE ryzed.entering x SET upto = coalesce(ids[seen], x.upto), rows = x.rows + seen, done = is_done WHERE x.table_name = of_table;
    held_ms := extract(epoch FROM clock_timestamp() - began) * 1000;
END $$;

CREATE OR REPLACE FUNCTION ryzed.enter_gone(of_table text, most bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone CONSTANT text := format('SELECT c.row_id, c.scope FROM ryzed.changes c WHERE c.table_name = $1 AND c.operation <> ''DELETE'' '
        'AND NOT EXISTS (SELECT FROM %s r WHERE r.id = c.row_id)',
        (SELECT t.relation FROM ryzed.tables t WHERE t.table_name = of_table));
    held text[];
    ids uuid[];
    scopes text[];
BEGIN
    IF ryzed.strayed(of_table) IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('the table %s was changed meanwhile', ryzed.strayed(of_table));
    END IF;
    EXECUTE format('SELECT array_agg(DISTINCT g.scope) FROM (%s LIMIT $2) g', gone) INTO held USING of_table, most;
    IF held IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM ryzed.hold(held);
    -- Anew: one that came back meanwhile is not gone.
    EXECUTE format('SELECT array_agg(g.row_id), array_agg(g.scope) FROM (%s AND c.scope = ANY ($3) LIMIT $2) g', gone)
        INTO ids, scopes USING of_table, most, held;
    IF ids IS NOT NULL THEN
        PERFORM ryzed.book(of_table, ids, scopes, array_fill('DELETE'::text, ARRAY[cardinality(ids)]), NULL, '{}');
    END IF;
    RETURN coalesce(cardinality(ids), 0);
END $$;

CREATE OR REPLACE FUNCTION ryzed.claimed_role() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' $$;

-- The daemon on nobody's behalf: it looks after everybody's versions and forgets what is old.
CREATE OR REPLACE FUNCTION ryzed.is_daemon() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce(ryzed.claimed_role() = 'ryzed_daemon', FALSE) $$;

CREATE OR REPLACE FUNCTION ryzed.keeps_catalogue() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce(ryzed.claimed_role() IN ('admin', 'service_role'), FALSE) $$;

-- Locks what the caller may write, so that whoever comes second reads what the first has done.
CREATE OR REPLACE FUNCTION ryzed.hold_own() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM ryzed.hold(ARRAY['user:' || auth.uid(), CASE WHEN ryzed.keeps_catalogue() THEN 'global' END]);
END $$;

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

-- Which of these rows somebody else has. Not who: the scope is nobody's. Written so that its plan is kept.
CREATE OR REPLACE FUNCTION ryzed.elsewhere(of_table text, ids uuid[]) RETURNS TABLE (row_id uuid, scope text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    own text := 'user:' || auth.uid();
BEGIN
    IF NOT ryzed.is_daemon() THEN
        RETURN QUERY SELECT i.id, 'user:00000000-0000-0000-0000-000000000000' FROM unnest(ids) i (id) CROSS JOIN LATERAL (
            SELECT FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = i.id AND c.operation <> 'DELETE'
            AND c.scope <> 'global' AND c.scope IS DISTINCT FROM own LIMIT 1) c;
    END IF;
END $$;

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

-- The trigger of an adopted table whose children may be there before it: nothing in the database says that they may not.
-- They were nobody's until now. Its argument: the table's name on the wire.
CREATE OR REPLACE FUNCTION ryzed.bring_below() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    of_table text := TG_ARGV[0];
BEGIN
    -- The trigger that enters the rows has taken note of it.
    IF ryzed.strayed(of_table) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    PERFORM ryzed.carry(of_table, array_agg(p.id), array_agg(p.scope)) FROM (
        SELECT n.id, (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = n.id
            AND c.operation <> 'DELETE' LIMIT 1) AS scope FROM new_rows n
    ) p WHERE p.scope IS NOT NULL HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- What a table is known by: itself, its name and owner, and the numbers and types of the columns on which the books depend. NULL
-- when one of them is not there.
CREATE OR REPLACE FUNCTION ryzed.stamp_of(relation oid, owner_column text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat_ws(' ', c.oid, i.attnum, i.atttypid, o.attnum, o.atttypid, c.relowner, c.relnamespace::regnamespace, c.relname)
    FROM pg_class c JOIN pg_attribute i ON i.attrelid = c.oid AND i.attname = 'id'
    JOIN pg_attribute o ON o.attrelid = c.oid AND o.attname = owner_column::name
    WHERE c.oid = relation
$$;

-- Our triggers on a table, as the catalogue has them, but for whether they are switched on.
CREATE OR REPLACE FUNCTION ryzed.triggers_of(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT md5(string_agg(concat_ws(' ', g.tgname, g.tgfoid, g.tgtype, encode(g.tgargs, 'hex'), g.tgqual, g.tgoldtable, g.tgnewtable),
        ',' ORDER BY g.tgname)) FROM pg_trigger g WHERE g.tgrelid = relation AND g.tgname LIKE 'ryzed\_%'
$$;

-- The same of our policies.
CREATE OR REPLACE FUNCTION ryzed.policies_of(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT md5(string_agg(concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles, p.polqual, '/', p.polwithcheck),
        ',' ORDER BY p.polname)) FROM pg_policy p WHERE p.polrelid = relation AND p.polname LIKE 'ryzed\_%'
$$;

-- By number, the transactions that have written what the catalogue says of its columns.
CREATE OR REPLACE FUNCTION ryzed.writers_of(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(a.attnum, a.xmin::text), '{}') FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- Takes note of how a table is now, once everything was put up round it.
CREATE OR REPLACE FUNCTION ryzed.stamp(of_table text, made_by text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    UPDATE ryzed.tables t SET stamp = ryzed.stamp_of(t.relation, t.owner_column), triggers = ryzed.triggers_of(t.relation),
        policies = ryzed.policies_of(t.relation), made = made_by,
        guarded = (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = t.relation),
        columns = coalesce((SELECT jsonb_object_agg(a.attname, a.attnum) FROM pg_attribute a
            WHERE a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped), '{}'),
        file = (SELECT c.relfilenode FROM pg_class c WHERE c.oid = t.relation), writers = ryzed.writers_of(t.relation),
        lineage = ARRAY(WITH RECURSIVE up AS (
            SELECT x.table_name, x.parent, 1 AS step FROM ryzed.tables x WHERE x.table_name = of_table
            UNION ALL SELECT x.table_name, x.parent, up.step + 1 FROM up JOIN ryzed.tables x ON x.table_name = up.parent
        ) SELECT up.table_name FROM up ORDER BY up.step)
    WHERE t.table_name = of_table
$$;

-- Whether DDL has given rows other values since, as a column's other type does: that fires no trigger. Such a row was written by the
-- transaction that has written the column in the catalogue, and its entry in the index was not.
CREATE OR REPLACE FUNCTION ryzed.is_rewritten(of_table text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    most_rows CONSTANT bigint := 1000;
    t ryzed.tables;
    by_transactions text[];
    found_row boolean;
BEGIN
    SELECT x.* INTO t FROM ryzed.tables x JOIN pg_class c ON c.oid = x.relation
    WHERE x.table_name = of_table AND c.relkind = 'r' AND c.relfilenode <> x.file
        AND split_part(x.stamp, ' ', 2) = (SELECT a.attnum::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'id');
    IF t.table_name IS NULL THEN
        RETURN FALSE;
    END IF;
    by_transactions := ARRAY(SELECT w.value FROM jsonb_each_text(ryzed.writers_of(t.relation)) w WHERE w.value <> t.writers ->> w.key);
    IF cardinality(by_transactions) = 0 THEN
        RETURN FALSE;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM (SELECT r.id::text, r.xmin FROM %s r WHERE r.xmin::text = ANY ($1) LIMIT $2) r '
        'WHERE NOT EXISTS (SELECT FROM ryzed.changes c WHERE c.table_name = $3 AND c.row_id::text = r.id AND c.xmin = r.xmin))', t.relation)
        INTO found_row USING by_transactions, most_rows, of_table;
    RETURN found_row;
END $$;

-- The first among a table and those that its rows hang on which is no longer the one that the triggers were made for. Where
-- statements do not see what others have committed, the catalogue that they read may be an older one than that by which rows are
-- written: names that are asked for one by one are those of now.
CREATE OR REPLACE FUNCTION ryzed.strayed(of_table text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    found_table text := (SELECT u.name FROM ryzed.tables t CROSS JOIN unnest(t.lineage) WITH ORDINALITY AS u (name, step)
        LEFT JOIN ryzed.tables a ON a.table_name = u.name
        WHERE t.table_name = of_table AND (a.stamp = ryzed.stamp_of(a.relation, a.owner_column)) IS NOT TRUE ORDER BY u.step LIMIT 1);
BEGIN
    IF found_table IS NULL AND current_setting('transaction_isolation') <> 'read committed' THEN
        found_table := (SELECT u.name FROM ryzed.tables t CROSS JOIN unnest(t.lineage) AS u (name)
            JOIN ryzed.tables a ON a.table_name = u.name
            JOIN pg_class c ON c.oid = a.relation JOIN pg_namespace n ON n.oid = c.relnamespace
            CROSS JOIN (VALUES ('id', 2), (NULL, 4)) AS k (name, place)
            WHERE t.table_name = of_table AND format('%I.%I.%I', n.nspname, c.relname, coalesce(k.name, a.owner_column)) IS DISTINCT FROM
                (pg_identify_object('pg_class'::regclass, a.relation, split_part(a.stamp, ' ', k.place)::int)).identity LIMIT 1);
    END IF;
    RETURN found_table;
END $$;

-- Takes note that rows of a table were written and not booked. The daemon's own write is refused instead, as long as nobody has
-- taken note: it is to find out before it promises anything.
CREATE OR REPLACE FUNCTION ryzed.stop(of_table text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ryzed.stopped s WHERE s.table_name = of_table) THEN
        IF nullif(current_setting('ryzed.device', true), '') IS NOT NULL THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE = 'ryzed: a table is no longer the one that was adopted';
        END IF;
        INSERT INTO ryzed.stopped (table_name, reason) VALUES (of_table, format(
            'its rows were written while %s, or the column that tells whose rows are, was another than it was adopted with',
            coalesce(nullif(ryzed.strayed(of_table), of_table), 'the table')));
        PERFORM pg_notify('ryzed', 'stopped');
    END IF;
END $$;

-- Whether rows of a table, or of one that its rows hang on, were written and not booked. Every statement of the daemon asks, so that
-- nobody is shown such a row before the daemon has looked by itself.
CREATE OR REPLACE FUNCTION ryzed.is_stopped(of_table text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM ryzed.stopped s JOIN ryzed.tables t ON s.table_name = ANY (t.lineage) WHERE t.table_name = of_table);
END $$;

-- What a statement of the daemon asks that has met another table under the name of the one that it was made for, or one that keeps
-- people apart no longer, or that is stopped.
CREATE OR REPLACE FUNCTION ryzed.is_another() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE undefined_table USING MESSAGE = 'ryzed: the table of this name is another, or stopped, or row level security does not bind any more';
END $$;

-- Gives entries of the index the next versions of their scopes and leaves what they say: devices get them again, and an edit that
-- builds on what they said is judged as before. Who calls it holds the scopes.
CREATE OR REPLACE FUNCTION ryzed.tell_again(of_table text, ids uuid[], scopes text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    WITH delta AS (
        SELECT d.row_id, d.scope, row_number() OVER (PARTITION BY d.scope ORDER BY d.place) AS step
        FROM unnest(ids, scopes) WITH ORDINALITY AS d (row_id, scope, place)
    ), moved AS (
        UPDATE ryzed.scopes s SET version = s.version + g.rows, changed_at = greatest(s.changed_at, clock_timestamp())
        FROM (SELECT scope, count(*) AS rows FROM delta GROUP BY scope) g WHERE s.scope = g.scope
        RETURNING s.scope, s.version - g.rows AS base, s.changed_at
    )
    UPDATE ryzed.changes c SET version = m.base + d.step, changed_at = m.changed_at, source_device = NULL
    FROM delta d JOIN moved m ON m.scope = d.scope
    WHERE c.row_id = d.row_id AND c.table_name = of_table AND c.scope = d.scope;
    PERFORM pg_notify('ryzed', '');
END $$;

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

-- Since when rows of a table may be others than the index believes, as far as notes tell; NULL when there is none.
CREATE OR REPLACE FUNCTION ryzed.unseen_since(of_table text) RETURNS xid8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(s.since_xid::text::numeric)::text::xid8 FROM ryzed.stopped s WHERE s.table_name = of_table
$$;

CREATE OR REPLACE FUNCTION ryzed.mend(of_table text, anew boolean, since xid8) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ryzed.entering e WHERE e.table_name = of_table;
    INSERT INTO ryzed.entering (table_name, anew, since_xid) VALUES (of_table, anew, coalesce(since, ryzed.unseen_since(of_table)));
    LOOP
        EXIT WHEN (SELECT e.is_done FROM ryzed.enter(of_table, 5000) e);
    END LOOP;
    LOOP
        EXIT WHEN ryzed.enter_gone(of_table, 5000) = 0;
    END LOOP;
    DELETE FROM ryzed.stopped s WHERE s.table_name = of_table;
END $$;

-- Why a token, or the device that it is used by, is refused: `device` is revoked; the `token` was used by a revoked device, or
-- names one, or is of its session; the device was allowed again, and the token is of an `age` before that. NULL when nothing
-- speaks against it. `issued` is in seconds since 1970; a token that does not say it is older than anything. Without a token
-- there is only the device to refuse.
CREATE OR REPLACE FUNCTION ryzed.refusal(person uuid, device text, named text, token text, session text, issued bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    severity integer;
BEGIN
    -- Most people have never revoked one.
    IF NOT EXISTS (SELECT FROM ryzed.devices d WHERE d.user_id = person
        AND (d.revoked_at IS NOT NULL OR d.barred_at IS NOT NULL)) THEN
        RETURN NULL;
    END IF;
    SELECT max(CASE
        WHEN d.device_id = device AND d.revoked_at IS NOT NULL THEN 3
        WHEN d.is_older AND (d.device_id = named OR d.lost_until > now()) THEN 2
        WHEN EXISTS (SELECT FROM ryzed.tokens t WHERE t.user_id = person AND t.device_id = d.device_id
            AND (t.mark = token AND (t.is_barred OR d.is_older)
                OR t.mark = session AND (d.revoked_at IS NOT NULL OR d.is_older))) THEN 2
        WHEN d.device_id = device AND d.is_older THEN 1
        ELSE 0 END)
    INTO severity
    FROM (
        SELECT *, token IS NOT NULL AND (issued IS NULL
            OR issued <= extract(epoch FROM date_trunc('second', greatest(x.revoked_at, x.barred_at)))) AS is_older
        FROM ryzed.devices x WHERE x.user_id = person AND (x.revoked_at IS NOT NULL OR x.barred_at IS NOT NULL)
    ) d;
    RETURN (ARRAY['age', 'token', 'device'])[severity];
END $$;

-- Ends the caller's transaction at its beginning when its token is refused.
CREATE OR REPLACE FUNCTION ryzed.admit(device text, named text, token text, session text, issued bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    refused CONSTANT text := ryzed.refusal(auth.uid(), device, named, token, session, issued);
BEGIN
    IF refused IS NOT NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'ryzed refuses for its ' || refused;
    END IF;
END $$;

-- The devices that many rows of one statement bring or take are counted at once: each by itself would leave a version of the count
-- behind, which all that follow have to pass.
CREATE OR REPLACE FUNCTION ryzed.count_device() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE ryzed.counts c SET count = c.count + CASE WHEN NEW.revoked_at IS NULL THEN 1 ELSE -1 END
            WHERE c.kind = 'devices' AND c.whose = (hashtext(NEW.user_id::text) & 15)::text;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO ryzed.counts AS c SELECT 'devices', (hashtext(n.user_id::text) & 15)::text AS whose, count(*) FROM new_rows n
            WHERE n.revoked_at IS NULL GROUP BY 2 ORDER BY 2
            ON CONFLICT (kind, whose) DO UPDATE SET count = c.count + excluded.count;
    ELSE
        INSERT INTO ryzed.counts AS c SELECT 'devices', (hashtext(o.user_id::text) & 15)::text AS whose, -count(*) FROM old_rows o
            WHERE o.revoked_at IS NULL GROUP BY 2 ORDER BY 2
            ON CONFLICT (kind, whose) DO UPDATE SET count = c.count + excluded.count;
    END IF;
    RETURN NULL;
END $$;

-- Whether policies of the application may go by columns of this table that stay home.
CREATE OR REPLACE FUNCTION ryzed.is_judged(of_table text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM ryzed.tables t JOIN pg_class r ON r.oid = t.relation JOIN pg_policy p ON p.polrelid = r.oid
        WHERE t.table_name = of_table AND r.relrowsecurity AND p.polname NOT LIKE 'ryzed\_%')
$$;

-- Erases what was noted of columns that no longer travel, in the next scopes behind `after_scope`. Says how far it came (NULL at
-- the end), and how many scopes somebody was writing, which it has left as they are.
CREATE OR REPLACE FUNCTION ryzed.scrub(after_scope text, most bigint, OUT upto text, OUT busy bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    next_scopes text[] := ARRAY(SELECT s.scope FROM ryzed.scopes s WHERE s.scope > after_scope ORDER BY s.scope LIMIT most);
    marked text[];
    held text[];
BEGIN
    upto := next_scopes[cardinality(next_scopes)];
    marked := ARRAY(SELECT DISTINCT c.scope FROM ryzed.changes c JOIN ryzed.kept k ON k.table_name = c.table_name
        WHERE c.scope = ANY (next_scopes) AND (c.previous - k.columns <> '{}' OR c.field_versions - k.columns - '*' <> '{}'));
    -- Under the lock of their writers, and never while waiting for one.
    held := ARRAY(SELECT s.scope FROM ryzed.scopes s WHERE s.scope = ANY (marked) FOR NO KEY UPDATE SKIP LOCKED);
    UPDATE ryzed.changes c SET
        previous = c.previous - ARRAY(SELECT jsonb_object_keys(c.previous - k.columns)),
        field_versions = c.field_versions - ARRAY(SELECT jsonb_object_keys(c.field_versions - k.columns - '*'))
    FROM ryzed.kept k WHERE k.table_name = c.table_name AND c.scope = ANY (held)
        AND (c.previous - k.columns <> '{}' OR c.field_versions - k.columns - '*' <> '{}');
    busy := cardinality(marked) - cardinality(held);
END $$;

-- The scope of a row as the tables have it, as SQL: `alias` stands for the row.
CREATE OR REPLACE FUNCTION ryzed.scope_sql(of_table text, alias text) RETURNS text
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
CREATE OR REPLACE FUNCTION ryzed.ids_after(of_table text, after uuid, most bigint) RETURNS SETOF uuid
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
CREATE OR REPLACE FUNCTION ryzed.differences(of_table text, ids uuid[]) RETURNS TABLE (id uuid, scope text, was text[], kind text)
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
CREATE OR REPLACE FUNCTION ryzed.mend_rows(of_table text, ids uuid[]) RETURNS bigint
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
CREATE OR REPLACE FUNCTION ryzed.blind_note(of_table text) RETURNS TABLE (at text, reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.since::text, s.reason FROM ryzed.stopped s WHERE s.table_name = of_table AND ryzed.is_daemon()
    ORDER BY s.since DESC LIMIT 1
$$;

-- Whether our triggers on a table fire: those for statements but where a replica writes, that for rows there alone.
CREATE OR REPLACE FUNCTION ryzed.fires(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(CASE g.tgname WHEN 'replica_ryzed' THEN g.tgenabled = 'R' WHEN 'ryzed_truncate' THEN g.tgenabled IN ('O', 'A')
        ELSE g.tgenabled = 'O' END), FALSE)
    FROM pg_trigger g WHERE g.tgrelid = relation AND (g.tgname LIKE 'ryzed\_%' OR g.tgname = 'replica_ryzed')
$$;

-- Switches our triggers on again where they are as they were put up, and notes that rows may have changed unseen until then.
CREATE OR REPLACE FUNCTION ryzed.switch_on(of_table text) RETURNS void
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
CREATE OR REPLACE FUNCTION ryzed.settle(of_table text, upto timestamptz) RETURNS boolean
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
CREATE OR REPLACE FUNCTION ryzed.record_row() RETURNS trigger
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

-- At which places of the list the former values are not those of a row of that scope.
CREATE OR REPLACE FUNCTION ryzed.strange_formers(of_table text, scopes text[], operations text[], formers jsonb[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE AS $$
DECLARE
    t ryzed.tables;
BEGIN
    SELECT x.* INTO t FROM ryzed.tables x WHERE x.table_name = of_table;
    IF t.rule <> 'via' THEN
        RETURN ARRAY(SELECT u.place FROM unnest(scopes, operations, formers) WITH ORDINALITY AS u (scope, operation, former, place)
            WHERE (u.former ? t.owner_column OR (u.operation = 'DELETE' AND u.former IS NOT NULL))
            AND u.scope IS DISTINCT FROM coalesce('user:' || (u.former ->> t.owner_column),
                CASE t.rule WHEN 'owner_or_global' THEN 'global' END));
    END IF;
    -- In a cascade the parent is already gone, and not yet in the index; where it went on its own, or moved, it left what it was.
    RETURN ARRAY(
        WITH gone AS MATERIALIZED (
            SELECT u.scope, (u.former ->> t.owner_column)::uuid AS above, u.place
            FROM unnest(scopes, operations, formers) WITH ORDINALITY AS u (scope, operation, former, place)
            WHERE u.operation = 'DELETE' AND u.former IS NOT NULL
        ), vouched AS MATERIALIZED (
            SELECT g.scope, g.above FROM (SELECT DISTINCT x.scope, x.above FROM gone x) g
            JOIN ryzed.changes c ON c.table_name = t.parent AND c.row_id = g.above AND c.scope = g.scope
            WHERE CASE c.operation WHEN 'DELETE' THEN c.previous <> '{}'
                ELSE coalesce(ryzed.owner_of(t.parent, g.above), g.scope) = g.scope END
        )
        SELECT g.place FROM gone g WHERE NOT EXISTS (SELECT FROM vouched v WHERE v.scope = g.scope AND v.above = g.above));
END $$;

-- Takes back what the rows below these were, which went in a cascade before it was known that they were not of that scope.
CREATE OR REPLACE FUNCTION ryzed.forget_below(of_table text, parents uuid[], of_scopes text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    child ryzed.tables;
    ids uuid[];
    scopes text[];
BEGIN
    FOR child IN SELECT x.* FROM ryzed.tables x WHERE x.parent = of_table ORDER BY x.table_name LOOP
        WITH forgotten AS (
            UPDATE ryzed.changes c SET previous = '{}' FROM unnest(parents, of_scopes) AS p (id, scope)
            WHERE c.scope = p.scope AND c.table_name = child.table_name AND c.operation = 'DELETE'
                AND c.previous ->> child.owner_column = p.id::text
            RETURNING c.row_id, c.scope
        )
        SELECT array_agg(f.row_id), array_agg(f.scope) INTO ids, scopes FROM forgotten f;
        CONTINUE WHEN ids IS NULL;
        PERFORM ryzed.forget_below(child.table_name, ids, scopes);
    END LOOP;
END $$;

-- The number that an id stands for, modulo both primes at once.
CREATE OR REPLACE FUNCTION ryzed.number_of(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.mod(pg_catalog.encode(pg_catalog.replace(id::text, '-', '')::bytea, 'hex')::numeric, 4503592513831417)::bigint
$$;

-- Its weights, as one number: that modulo the second prime in the lower 26 bits.
CREATE OR REPLACE FUNCTION ryzed.weight(number bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((number % 67108859) * (number % 67108859) % 67108859 * (number % 67108859) % 67108859) * 67108864
        + (number % 67108763) * (number % 67108763) % 67108763 * (number % 67108763) % 67108763
$$;

-- What the index has in these scopes, added up; in all of them where none are named.
CREATE OR REPLACE FUNCTION ryzed.count_scopes(wanted text[]) RETURNS SETOF ryzed.sums
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT e.scope, e.table_name, count(*), sum(e.version)::bigint,
        mod(sum((e.weight >> 26) * (e.version % 67108859) % 67108859), 67108859)::bigint,
        mod(sum((e.weight & 67108863) * (e.version % 67108763) % 67108763), 67108763)::bigint
    FROM (
        SELECT n.scope, n.table_name, n.version, ryzed.weight(n.number) AS weight FROM (
            SELECT c.scope, c.table_name, c.version, ryzed.number_of(c.row_id) AS number FROM ryzed.changes c
            WHERE c.operation <> 'DELETE' AND (wanted IS NULL OR c.scope = ANY (wanted)) OFFSET 0
        ) n OFFSET 0
    ) e GROUP BY e.scope, e.table_name
$$;

-- Takes what entries of the index were out of the sums, and puts in what they are. Whoever writes entries holds their scopes, so
-- that nobody waits here for somebody else.
CREATE OR REPLACE FUNCTION ryzed.count_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    p CONSTANT bigint := 67108859;
    q CONSTANT bigint := 67108763;
    scopes text[];
    tables text[];
    ids uuid[];
    versions bigint[];
    signs bigint[];
BEGIN
    -- ryzed.book_row(), which runs in a trigger, keeps the sums itself.
    IF current_setting('ryzed.counted', true) = 'yes' AND pg_trigger_depth() > 1 THEN
        RETURN NULL;
    END IF;
    -- What is copied under this role from another database brings the sums along. ryzed.record_row() books under it, too.
    IF current_setting('session_replication_role') = 'replica' AND pg_trigger_depth() = 1 THEN
        RETURN NULL;
    END IF;
    CASE TG_OP
    WHEN 'INSERT' THEN
        SELECT array_agg(n.scope), array_agg(n.table_name), array_agg(n.row_id), array_agg(n.version), array_agg(1::bigint)
        INTO scopes, tables, ids, versions, signs FROM new_rows n WHERE n.operation <> 'DELETE';
    WHEN 'DELETE' THEN
        SELECT array_agg(o.scope), array_agg(o.table_name), array_agg(o.row_id), array_agg(o.version), array_agg(-1::bigint)
        INTO scopes, tables, ids, versions, signs FROM old_rows o WHERE o.operation <> 'DELETE';
    ELSE
        SELECT array_agg(e.scope), array_agg(e.table_name), array_agg(e.row_id), array_agg(e.version), array_agg(e.sign)
        INTO scopes, tables, ids, versions, signs
        FROM (
            SELECT n.scope, n.table_name, n.row_id, n.version, 1::bigint AS sign FROM new_rows n WHERE n.operation <> 'DELETE'
            UNION ALL SELECT o.scope, o.table_name, o.row_id, o.version, -1 FROM old_rows o WHERE o.operation <> 'DELETE'
        ) e;
    END CASE;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO ryzed.sums AS s (scope, table_name, rows, version_sum, hash_p, hash_q)
    SELECT e.scope, e.table_name, sum(e.sign)::bigint, sum(e.sign * e.version)::bigint,
        mod(mod(sum((e.weight >> 26) * (e.sign * (e.version % p)) % p), p) + p, p)::bigint,
        mod(mod(sum((e.weight & 67108863) * (e.sign * (e.version % q)) % q), q) + q, q)::bigint
    FROM (
        SELECT n.scope, n.table_name, n.version, n.sign, ryzed.weight(n.number) AS weight FROM (
            SELECT u.scope, u.table_name, u.version, u.sign, ryzed.number_of(u.row_id) AS number
            FROM unnest(scopes, tables, ids, versions, signs) AS u (scope, table_name, row_id, version, sign) OFFSET 0
        ) n OFFSET 0
    ) e GROUP BY e.scope, e.table_name ORDER BY e.scope, e.table_name
    ON CONFLICT (scope, table_name) DO UPDATE SET
        rows = s.rows + excluded.rows,
        version_sum = s.version_sum + excluded.version_sum,
        hash_p = (s.hash_p + excluded.hash_p) % p,
        hash_q = (s.hash_q + excluded.hash_q) % q;
    RETURN NULL;
END $$;

-- Of these scopes the tables whose sums are others than the index has. One statement, so that it sees one moment.
CREATE OR REPLACE FUNCTION ryzed.miscounted(wanted text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH kept AS MATERIALIZED (SELECT * FROM ryzed.sums s WHERE s.rows <> 0 AND s.scope = ANY (wanted)),
        counted AS MATERIALIZED (SELECT * FROM ryzed.count_scopes(wanted))
    SELECT DISTINCT d.table_name FROM (
        (TABLE kept EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE kept)) d WHERE ryzed.is_daemon()
$$;

-- Counts these scopes anew.
CREATE OR REPLACE FUNCTION ryzed.recount(wanted text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    IF ryzed.is_daemon() THEN
        PERFORM ryzed.hold(wanted);
        DELETE FROM ryzed.sums s WHERE s.scope = ANY (wanted);
        INSERT INTO ryzed.sums SELECT * FROM ryzed.count_scopes(wanted);
    END IF;
END $$;

-- Rights, in full: a function that is made anew may be run by everybody.
REVOKE ALL ON FUNCTION ryzed.admit(text, text, text, text, bigint), ryzed.before_truncate(), ryzed.blind_note(text),
    ryzed.book(text, uuid[], text[], text[], jsonb[], text[]), ryzed.book_row(text, uuid, text, jsonb, text[]), ryzed.bring_below(), ryzed.carry(text, uuid[], text[]),
    ryzed.claimed_role(), ryzed.count_changes(), ryzed.count_device(), ryzed.count_scopes(text[]), ryzed.differences(text, uuid[]),
    ryzed.elsewhere(text, uuid[]), ryzed.enter(text, bigint), ryzed.enter_gone(text, bigint), ryzed.fires(oid),
    ryzed.forget_below(text, uuid[], text[]), ryzed.hold(text[]), ryzed.hold_own(), ryzed.ids_after(text, uuid, bigint),
    ryzed.is_another(), ryzed.is_daemon(), ryzed.is_judged(text), ryzed.is_rewritten(text), ryzed.is_stopped(text),
    ryzed.keeps_catalogue(), ryzed.mend(text, boolean, xid8), ryzed.mend_rows(text, uuid[]), ryzed.miscounted(text[]),
    ryzed.number_of(uuid), ryzed.owner_of(text, uuid), ryzed.policies_of(oid),
    ryzed.prune_tombstones(timestamptz, bigint), ryzed.record(), ryzed.record_row(), ryzed.recount(text[]),
    ryzed.refusal(uuid, text, text, text, text, bigint), ryzed.scope_sql(text, text), ryzed.scrub(text, bigint),
    ryzed.settle(text, timestamptz), ryzed.stamp(text, text), ryzed.stamp_of(oid, text), ryzed.stop(text),
    ryzed.strange_formers(text, text[], text[], jsonb[]), ryzed.strayed(text), ryzed.switch_on(text),
    ryzed.tell_again(text, uuid[], text[]), ryzed.tell_passed(text), ryzed.touch(text[], timestamptz),
    ryzed.triggers_of(oid), ryzed.unseen_since(text), ryzed.weight(bigint), ryzed.writers_of(oid)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ryzed.admit(text, text, text, text, bigint), ryzed.blind_note(text), ryzed.claimed_role(),
    ryzed.differences(text, uuid[]), ryzed.elsewhere(text, uuid[]), ryzed.hold_own(), ryzed.ids_after(text, uuid, bigint),
    ryzed.is_another(), ryzed.is_daemon(), ryzed.is_stopped(text), ryzed.keeps_catalogue(), ryzed.mend_rows(text, uuid[]),
    ryzed.miscounted(text[]), ryzed.number_of(uuid), ryzed.prune_tombstones(timestamptz, bigint),
    ryzed.recount(text[]), ryzed.refusal(uuid, text, text, text, text, bigint), ryzed.settle(text, timestamptz),
    ryzed.switch_on(text), ryzed.touch(text[], timestamptz), ryzed.weight(bigint)
    TO ryzed_daemon;
