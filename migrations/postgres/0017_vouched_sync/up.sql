-- Rows may change hands while no trigger looks, and the index then believes for a while that they are still whose they were.
-- What such a row held when it goes or changes is told to nobody whose it was not.

-- At which places of the list the former values are not those of a row of that scope.
CREATE FUNCTION ryzed.strange_formers(of_table text, scopes text[], operations text[], formers jsonb[]) RETURNS bigint[]
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
CREATE FUNCTION ryzed.forget_below(of_table text, parents uuid[], of_scopes text[]) RETURNS void
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

REVOKE ALL ON FUNCTION ryzed.strange_formers(text, text[], text[], jsonb[]), ryzed.forget_below(text, uuid[], text[]) FROM PUBLIC;
