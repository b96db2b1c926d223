-- Former values over 16 KiB are not kept: what they were is then unknown, as it is of a value that was replaced twice.

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
    travelling text[];
BEGIN
    IF formers IS NOT NULL THEN
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
        SELECT of_table, d.row_id, d.scope, m.base + d.step, d.operation, m.changed_at, nullif(device, '*'),
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
    IF device IS NULL THEN
        PERFORM pg_notify('ryzed', '');
    END IF;
END $$;
