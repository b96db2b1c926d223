-- A table is booked only as long as it is the one that its triggers were made for: the application may rename it or the column
-- that tells whose its rows are, drop them, put others in their places. Then nothing is booked, a note says so, and the daemon
-- leaves the table alone until it was adopted again.

ALTER TABLE ryzed.tables
    -- The table itself and those that its rows hang on.
    ADD lineage text[] NOT NULL DEFAULT '{}',
    -- What ryzed.stamp_of() said when the triggers were put up. None: it was not as it had been adopted even then.
    ADD stamp text,
    -- The numbers of all its columns then, by name.
    ADD columns jsonb NOT NULL DEFAULT '{}',
    -- The file that held its rows then, and by number the transactions that had written what the catalogue says of its columns.
    ADD file oid,
    ADD writers jsonb NOT NULL DEFAULT '{}',
    -- What our triggers and policies were in the catalogue when they were put up, see ryzed.triggers_of(), ryzed.policies_of().
    ADD triggers text,
    ADD policies text,
    -- Whether row level security was on.
    ADD guarded boolean,
    -- A digest of the statements that put them up.
    ADD made text;

-- Tables of which the index may no longer tell the truth. Who writes first, while another does so as well, adds a second note.
CREATE TABLE ryzed.stopped (
    table_name text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Rows that were written by this transaction or a later one may be others than the index believes.
    since_xid xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot()),
    reason text NOT NULL
);
ALTER TABLE ryzed.stopped ENABLE ROW LEVEL SECURITY;

-- What devices have not been given because a table was stopped when they asked: entries of a scope after a version.
CREATE TABLE ryzed.passed (
    table_name text NOT NULL,
    scope text NOT NULL,
    after bigint NOT NULL,
    PRIMARY KEY (table_name, scope)
);
ALTER TABLE ryzed.passed ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON ryzed.passed TO ryzed_daemon;
CREATE POLICY daemon ON ryzed.passed TO ryzed_daemon USING ((SELECT ryzed.is_daemon()));

ALTER TABLE ryzed.entering
    -- Whether rows that the index knows are told again, because they have other columns than devices know.
    ADD anew boolean NOT NULL DEFAULT FALSE,
    -- Rows that were written by this transaction or a later one may be others than the index believes.
    ADD since_xid xid8;

-- What a table is known by: itself, its name and owner, and the numbers and types of the columns on which the books depend. NULL
-- when one of them is not there.
CREATE FUNCTION ryzed.stamp_of(relation oid, owner_column text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat_ws(' ', c.oid, i.attnum, i.atttypid, o.attnum, o.atttypid, c.relowner, c.relnamespace::regnamespace, c.relname)
    FROM pg_class c JOIN pg_attribute i ON i.attrelid = c.oid AND i.attname = 'id'
    JOIN pg_attribute o ON o.attrelid = c.oid AND o.attname = owner_column::name
    WHERE c.oid = relation
$$;

-- Our triggers on a table, as the catalogue has them, but for whether they are switched on.
CREATE FUNCTION ryzed.triggers_of(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT md5(string_agg(concat_ws(' ', g.tgname, g.tgfoid, g.tgtype, encode(g.tgargs, 'hex'), g.tgqual, g.tgoldtable, g.tgnewtable),
        ',' ORDER BY g.tgname)) FROM pg_trigger g WHERE g.tgrelid = relation AND g.tgname LIKE 'ryzed\_%'
$$;

-- The same of our policies.
CREATE FUNCTION ryzed.policies_of(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT md5(string_agg(concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles, p.polqual, '/', p.polwithcheck),
        ',' ORDER BY p.polname)) FROM pg_policy p WHERE p.polrelid = relation AND p.polname LIKE 'ryzed\_%'
$$;

-- By number, the transactions that have written what the catalogue says of its columns.
CREATE FUNCTION ryzed.writers_of(relation oid) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(a.attnum, a.xmin::text), '{}') FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- Takes note of how a table is now, once everything was put up round it.
CREATE FUNCTION ryzed.stamp(of_table text, made_by text) RETURNS void
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
CREATE FUNCTION ryzed.is_rewritten(of_table text) RETURNS boolean
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
CREATE FUNCTION ryzed.strayed(of_table text) RETURNS text
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
CREATE FUNCTION ryzed.stop(of_table text) RETURNS void
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
CREATE FUNCTION ryzed.is_stopped(of_table text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM ryzed.stopped s JOIN ryzed.tables t ON s.table_name = ANY (t.lineage) WHERE t.table_name = of_table);
END $$;
GRANT EXECUTE ON FUNCTION ryzed.is_stopped(text) TO ryzed_daemon;

-- What a statement of the daemon asks that has met another table under the name of the one that it was made for, or one that keeps
-- people apart no longer, or that is stopped.
CREATE FUNCTION ryzed.is_another() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE undefined_table USING MESSAGE = 'ryzed: the table of this name is another, or stopped, or row level security does not bind any more';
END $$;
GRANT EXECUTE ON FUNCTION ryzed.is_another() TO ryzed_daemon;

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
    is_as_made boolean;
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

-- Gives entries of the index the next versions of their scopes and leaves what they say: devices get them again, and an edit that
-- builds on what they said is judged as before. Who calls it holds the scopes.
CREATE FUNCTION ryzed.tell_again(of_table text, ids uuid[], scopes text[]) RETURNS void
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
CREATE FUNCTION ryzed.tell_passed(of_table text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    passed record;
    ids uuid[];
    busy bigint := 0;
BEGIN
    FOR passed IN SELECT p.scope FROM ryzed.passed p WHERE p.table_name = of_table ORDER BY p.scope LOOP
        PERFORM FROM ryzed.scopes s WHERE s.scope = passed.scope FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            busy := busy + 1;
            CONTINUE;
        END IF;
        ids := ARRAY(SELECT c.row_id FROM ryzed.changes c
            WHERE c.scope = passed.scope AND c.table_name = of_table AND c.version > (SELECT p.after FROM ryzed.passed p
                WHERE p.table_name = of_table AND p.scope = passed.scope) ORDER BY c.version);
        DELETE FROM ryzed.passed p WHERE p.table_name = of_table AND p.scope = passed.scope;
        IF cardinality(ids) > 0 THEN
            PERFORM ryzed.tell_again(of_table, ids, array_fill(passed.scope, ARRAY[cardinality(ids)]));
        END IF;
    END LOOP;
    RETURN busy;
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

-- Notes as deleted what the index believes to be there and is not: rows that went while no trigger stood. So many at a time;
-- how many it were.
DROP FUNCTION ryzed.enter_gone(text);
CREATE FUNCTION ryzed.enter_gone(of_table text, most bigint) RETURNS bigint
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

-- Since when rows of a table may be others than the index believes, as far as notes tell; NULL when there is none.
CREATE FUNCTION ryzed.unseen_since(of_table text) RETURNS xid8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(s.since_xid::text::numeric)::text::xid8 FROM ryzed.stopped s WHERE s.table_name = of_table
$$;

-- Brings the index of a table to what the table has, all at once. Who calls it keeps others from writing to the table meanwhile.
DROP FUNCTION ryzed.backfill(text);
CREATE FUNCTION ryzed.mend(of_table text, anew boolean, since xid8) RETURNS void
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

REVOKE ALL ON FUNCTION ryzed.stamp_of(oid, text), ryzed.triggers_of(oid), ryzed.policies_of(oid), ryzed.stamp(text, text), ryzed.writers_of(oid),
    ryzed.is_rewritten(text), ryzed.strayed(text),
    ryzed.stop(text), ryzed.is_stopped(text), ryzed.tell_again(text, uuid[], text[]), ryzed.tell_passed(text), ryzed.enter_gone(text, bigint),
    ryzed.unseen_since(text), ryzed.mend(text, boolean, xid8), ryzed.is_another() FROM PUBLIC;

-- A database of an earlier release: its tables count as those that were adopted where they have the columns, and where the column
-- that tells the owner is the one by which the policies go, which follow a column when it is renamed.
UPDATE ryzed.tables t SET lineage = ARRAY(WITH RECURSIVE up AS (
        SELECT x.table_name, x.parent, 1 AS step FROM ryzed.tables x WHERE x.table_name = t.table_name
        UNION ALL SELECT x.table_name, x.parent, up.step + 1 FROM up JOIN ryzed.tables x ON x.table_name = up.parent
    ) SELECT up.table_name FROM up ORDER BY up.step),
    stamp = CASE WHEN NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.relation AND p.polname = 'ryzed_select')
        OR EXISTS (SELECT FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
            AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.relation
            JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = d.refobjsubid AND a.attname = t.owner_column
            WHERE p.polrelid = t.relation AND p.polname = 'ryzed_select')
        THEN ryzed.stamp_of(t.relation, t.owner_column) END,
    triggers = CASE WHEN (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname LIKE 'ryzed\_%') >= 4
        THEN ryzed.triggers_of(t.relation) END,
    policies = CASE WHEN (SELECT count(*) FROM pg_policy p WHERE p.polrelid = t.relation AND p.polname LIKE 'ryzed\_%') >= 4
        THEN ryzed.policies_of(t.relation) END,
    guarded = (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = t.relation),
    file = (SELECT c.relfilenode FROM pg_class c WHERE c.oid = t.relation), writers = ryzed.writers_of(t.relation);
INSERT INTO ryzed.stopped (table_name, since_xid, reason)
SELECT t.table_name, '3', 'the column that tells whose its rows are was another than it was adopted with before this release'
FROM ryzed.tables t WHERE t.stamp IS NULL;
