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
DROP FUNCTION ryzed.scrub(text, bigint);
DROP FUNCTION ryzed.is_judged(text);
DROP TABLE ryzed.kept;
