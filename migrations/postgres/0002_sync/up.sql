-- The sidecar: versions, the change index, receipts, devices, open conflicts. All of it lives in the schema ryzed.
-- The triggers on the synced tables and the policies of their rows are generated from the adapters; every trigger calls
-- ryzed.record(), which says what has happened to which row, and ryzed.book() keeps the books in one place.

CREATE TABLE ryzed.meta (
    key text PRIMARY KEY,
    value text NOT NULL
);

-- What the triggers have to know of the synced tables: whose a row is, and which tables hang on which.
CREATE TABLE ryzed.tables (
    table_name text PRIMARY KEY,
    relation regclass NOT NULL,
    -- person, owner, owner_or_global, via
    rule text NOT NULL,
    -- The column that names the owner, or the row above.
    owner_column text NOT NULL,
    parent text,
    -- Columns whose former values are kept over many versions.
    deep text[] NOT NULL
);
CREATE INDEX tables_parent ON ryzed.tables (parent);

-- How far the rows are entered that stood in an adopted table before its triggers. Whoever changes such a row meanwhile
-- passes through this gate, so that no batch enters what is being changed, see ryzed.record() and ryzed.enter().
CREATE TABLE ryzed.entering (
    table_name text PRIMARY KEY,
    -- Rows up to this id are entered.
    upto uuid,
    rows bigint NOT NULL DEFAULT 0,
    done boolean NOT NULL DEFAULT FALSE
);

CREATE TABLE ryzed.scopes (
    scope text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    -- The highest version whose tombstone is gone.
    floor bigint NOT NULL DEFAULT 0,
    -- When the version was taken; never runs backwards within a scope.
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE ryzed.changes (
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    scope text NOT NULL,
    version bigint NOT NULL,
    operation text NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    changed_at timestamptz NOT NULL,
    source_device text,
    -- {"*": version of the insert, "column": version of its last change, …}; of a tombstone as it was before.
    field_versions jsonb NOT NULL DEFAULT '{}',
    -- {"column": [[since version, former value], …], …}, oldest first; of a tombstone the whole former row.
    previous jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (row_id, table_name, scope)
);
CREATE UNIQUE INDEX changes_version ON ryzed.changes (scope, version);
CREATE INDEX changes_tombstones ON ryzed.changes (changed_at) WHERE operation = 'DELETE';

-- The answer that a mutation got: a retry gets the same one.
CREATE TABLE ryzed.receipts (
    user_id uuid NOT NULL,
    mutation_id uuid NOT NULL,
    result json NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, mutation_id)
);
CREATE INDEX receipts_created_at ON ryzed.receipts (created_at);

CREATE TABLE ryzed.devices (
    user_id uuid NOT NULL,
    device_id text NOT NULL,
    device_type text,
    app_version text,
    name text,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    last_sync timestamptz,
    pending_uploads bigint NOT NULL DEFAULT 0,
    cursor jsonb,
    revoked_at timestamptz,
    PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 70);
CREATE INDEX devices_last_seen ON ryzed.devices (last_seen);

-- Conflicts under the strategy `manual`, until a person settles them.
CREATE TABLE ryzed.conflicts (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    -- What the client was told, and what it had sent.
    conflict json NOT NULL,
    mutation json NOT NULL
);
CREATE INDEX conflicts_user_id ON ryzed.conflicts (user_id, created_at);

-- Locks scopes against other writers until the transaction ends, always in the same order. Every version is taken under
-- this lock, so the order of versions is the order of commits.
CREATE FUNCTION ryzed.hold(wanted text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
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
CREATE FUNCTION ryzed.book(
    of_table text, ids uuid[], scopes text[], operations text[], formers jsonb[], deep text[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    -- Empty outside of the daemon's own transactions; * for the daemon on no device's behalf.
    device text := nullif(current_setting('ryzed.device', true), '');
BEGIN
    PERFORM ryzed.hold(scopes);
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
    IF device IS NULL THEN
        PERFORM pg_notify('ryzed', '');
    END IF;
END $$;

-- The scope of a row as the tables have it, for rows that the index does not know yet. NULL where a parent is missing.
CREATE FUNCTION ryzed.owner_of(of_table text, id uuid) RETURNS text
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

-- Takes the descendants of rows that have moved into other scopes along.
CREATE FUNCTION ryzed.carry(of_parent text, parents uuid[], into_scopes text[]) RETURNS void
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

-- The trigger of every synced table, once a statement. Its arguments: rule, owner column, parent, deep columns, the table's
-- name on the wire, whether the table was adopted.
-- Rows are worked through in parts, so that the memory it takes is bounded; a part is more than most statements have.
-- Plans are kept for a session, and the first may be made for one row and an empty index: so the index is asked in scalar
-- subqueries, whose plan no size of a transition table changes, and never read from end to end.
CREATE FUNCTION ryzed.record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET enable_seqscan = off SET jit = off AS $$
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
    part record;
    wanted text[];
    held text[] := '{}';
BEGIN
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
        FOR part IN
            SELECT array_agg(r.id ORDER BY r.place) AS ids, array_agg(r.scope ORDER BY r.place) AS scopes,
                array_agg('INSERT'::text) AS operations
            FROM (
                SELECT n.id, n.place, CASE
                    WHEN rule = 'via' THEN coalesce((SELECT c.scope FROM ryzed.changes c WHERE c.table_name = above
                        AND c.row_id = n.owner AND c.operation <> 'DELETE' LIMIT 1), ryzed.owner_of(above, n.owner))
                    WHEN n.owner IS NOT NULL THEN 'user:' || n.owner
                    WHEN rule = 'owner_or_global' THEN 'global' END AS scope
                FROM (SELECT x.id, (to_jsonb(x) ->> owner_column)::uuid AS owner, row_number() OVER () AS place
                    FROM new_rows x) n
            ) r WHERE r.scope IS NOT NULL GROUP BY (r.place - 1) / part_rows ORDER BY min(r.place)
        LOOP
            PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, NULL, deep);
        END LOOP;

    ELSIF TG_OP = 'DELETE' THEN
        -- Whose a row was is read from the index: in a cascade the parent is already gone.
        FOR part IN
            SELECT array_agg(r.id ORDER BY r.place) AS ids, array_agg(r.was ORDER BY r.place) AS scopes,
                array_agg('DELETE'::text) AS operations, array_agg(r.former ORDER BY r.place) AS formers
            FROM (
                SELECT o.id, to_jsonb(o) AS former, row_number() OVER () AS place,
                    (SELECT c.scope FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = o.id
                        AND c.operation <> 'DELETE' LIMIT 1) AS was
                FROM old_rows o
            ) r WHERE r.was IS NOT NULL GROUP BY (r.place - 1) / part_rows ORDER BY min(r.place)
        LOOP
            PERFORM ryzed.book(of_table, part.ids, part.scopes, part.operations, part.formers, deep);
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

-- TRUNCATE tells no trigger which rows it takes, so they are deleted first.
CREATE FUNCTION ryzed.before_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %s', TG_RELID::regclass);
    RETURN NULL;
END $$;

-- Enters rows into the index that it does not know, such as those written while no trigger stood.
CREATE FUNCTION ryzed.backfill(of_table text) RETURNS void
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

-- Enters the next rows of an adopted table that stood there before its triggers; parents before their children. Rows that
-- a trigger has entered meanwhile are passed over. Fails when a row moves into a scope that is not held: once more, then.
CREATE FUNCTION ryzed.enter(of_table text, most bigint, OUT seen bigint, OUT is_done boolean, OUT held_ms double precision)
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

-- Notes as deleted what the index believes to be there and is not: rows that went while no trigger stood.
CREATE FUNCTION ryzed.enter_gone(of_table text) RETURNS bigint
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

INSERT INTO ryzed.scopes (scope, changed_at) VALUES ('global', now());

-- Who works for whom. The daemon's role owns nothing; what it may see and write is said by the claims of each transaction.
-- Since 16, whoever makes a role may give it away and not yet take it.
DO $$ DECLARE
    may_take CONSTANT text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    -- A daemon of another database of this cluster may be faster.
    BEGIN
        IF to_regrole('ryzed_daemon') IS NULL THEN
            CREATE ROLE ryzed_daemon NOLOGIN NOBYPASSRLS;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    BEGIN
        IF NOT pg_has_role(current_user, 'ryzed_daemon', may_take) THEN
            EXECUTE format('GRANT ryzed_daemon TO %I', current_user);
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
END $$;

CREATE SCHEMA IF NOT EXISTS auth;
DO $$ BEGIN
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
            $f$ SELECT (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $f$;
    END IF;
END $$;

CREATE FUNCTION ryzed.claimed_role() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' $$;

-- The daemon on nobody's behalf: it looks after everybody's versions and forgets what is old.
CREATE FUNCTION ryzed.is_daemon() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce(ryzed.claimed_role() = 'ryzed_daemon', FALSE) $$;

CREATE FUNCTION ryzed.keeps_catalogue() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT coalesce(ryzed.claimed_role() IN ('admin', 'service_role'), FALSE) $$;

-- Locks what the caller may write, so that whoever comes second reads what the first has done.
CREATE FUNCTION ryzed.hold_own() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ryzed.hold(ARRAY['user:' || auth.uid(), CASE WHEN ryzed.keeps_catalogue() THEN 'global' END]);
END $$;

-- Makes sure that no later change of these scopes gets a time before `now`. Who finds a scope locked leaves it: it is
-- being moved already.
CREATE FUNCTION ryzed.touch(wanted text[], at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ryzed.scopes s SET changed_at = greatest(s.changed_at, at) WHERE s.scope IN (
        SELECT h.scope FROM ryzed.scopes h WHERE h.scope = ANY (wanted) AND h.changed_at < at FOR NO KEY UPDATE SKIP LOCKED);
END $$;

-- Which of these rows somebody else has. Not who: the scope is nobody's.
CREATE FUNCTION ryzed.elsewhere(of_table text, ids uuid[]) RETURNS TABLE (row_id uuid, scope text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.id, 'user:00000000-0000-0000-0000-000000000000' FROM unnest(ids) i (id) CROSS JOIN LATERAL (
        SELECT FROM ryzed.changes c WHERE c.table_name = of_table AND c.row_id = i.id AND c.operation <> 'DELETE'
        AND c.scope <> 'global' AND c.scope IS DISTINCT FROM 'user:' || auth.uid() LIMIT 1) c
    WHERE NOT ryzed.is_daemon()
$$;

-- Forgets tombstones, the oldest first, so that a scope's floor rises with them and never over one that is kept.
CREATE FUNCTION ryzed.prune_tombstones(before timestamptz, most bigint) RETURNS bigint
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ryzed FROM PUBLIC;
GRANT USAGE ON SCHEMA public, ryzed, auth TO ryzed_daemon;
GRANT EXECUTE ON FUNCTION auth.uid(), ryzed.claimed_role(), ryzed.is_daemon(), ryzed.keeps_catalogue(), ryzed.hold_own(),
    ryzed.touch(text[], timestamptz), ryzed.elsewhere(text, uuid[]), ryzed.prune_tombstones(timestamptz, bigint)
    TO ryzed_daemon;
GRANT SELECT ON ryzed.scopes, ryzed.changes TO ryzed_daemon;
GRANT SELECT, INSERT, UPDATE, DELETE ON ryzed.receipts, ryzed.devices, ryzed.conflicts TO ryzed_daemon;

ALTER TABLE ryzed.meta ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.tables ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.entering ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.scopes ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.receipts ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.conflicts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ryzed.scopes FOR SELECT TO ryzed_daemon
    USING (scope = 'global' OR scope = 'user:' || (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
CREATE POLICY own ON ryzed.changes FOR SELECT TO ryzed_daemon
    USING (scope = 'global' OR scope = 'user:' || (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
CREATE POLICY own ON ryzed.receipts TO ryzed_daemon
    USING (user_id = (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
CREATE POLICY own ON ryzed.devices TO ryzed_daemon
    USING (user_id = (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
CREATE POLICY own ON ryzed.conflicts TO ryzed_daemon
    USING (user_id = (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
