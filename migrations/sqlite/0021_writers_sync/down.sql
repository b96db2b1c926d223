CREATE TABLE sync_context (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    device TEXT,
    scope TEXT
) STRICT;
INSERT INTO sync_context VALUES (1, NULL, NULL);

DROP TRIGGER sync_record_insert;
CREATE TRIGGER sync_record_insert INSTEAD OF INSERT ON sync_record
BEGIN
    INSERT INTO sync_scopes (scope, version, changed_at)
    VALUES (NEW.scope, 1, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
    ON CONFLICT (scope) DO UPDATE SET version = version + 1, changed_at = max(changed_at, excluded.changed_at);

    INSERT INTO sync_changes
        (table_name, row_id, scope, version, operation, changed_at, source_device, field_versions, previous)
    SELECT NEW.table_name, NEW.row_id, NEW.scope, s.version, NEW.operation, s.changed_at,
        (SELECT CASE WHEN own.device IS NOT NULL THEN iif(NEW.scope IN ('global', own.scope), own.device, 'ryzed') END
            FROM sync_context own),
        CASE NEW.operation WHEN 'DELETE' THEN '{}' ELSE json_object('*', s.version) END,
        CASE NEW.operation WHEN 'DELETE' THEN NEW.former ELSE '{}' END
    FROM sync_scopes s WHERE s.scope = NEW.scope
    ON CONFLICT (table_name, row_id, scope) DO UPDATE SET
        version = excluded.version,
        operation = excluded.operation,
        changed_at = excluded.changed_at,
        source_device = excluded.source_device,
        field_versions = CASE excluded.operation WHEN 'UPDATE' THEN json_patch(json_patch(field_versions,
            (SELECT json_group_object(key, excluded.version) FROM json_each(NEW.former))),
            (SELECT json_group_object(value, excluded.version) FROM json_each(NEW.long)))
            WHEN 'DELETE' THEN field_versions ELSE excluded.field_versions END,
        previous = CASE excluded.operation WHEN 'UPDATE' THEN json_patch(json_patch(previous, (
            SELECT json_group_object(c.key, json(CASE
                WHEN NEW.deep IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(NEW.deep) d WHERE d.value = c.key)
                    OR previous -> c.key IS NULL
                THEN json_array(json_array(coalesce(field_versions ->> c.key, field_versions ->> '*'), json(NEW.former -> c.key)))
                WHEN json_array_length(previous -> c.key) < 32
                THEN json_insert(previous -> c.key, '$[#]',
                    json_array(coalesce(field_versions ->> c.key, field_versions ->> '*'), json(NEW.former -> c.key)))
                ELSE json_remove(json_insert(previous -> c.key, '$[#]',
                    json_array(coalesce(field_versions ->> c.key, field_versions ->> '*'), json(NEW.former -> c.key))), '$[0]')
                END)) FROM json_each(NEW.former) c)),
            (SELECT json_group_object(value, json('[]')) FROM json_each(NEW.long)))
            ELSE excluded.previous END;
END;
DROP TABLE sync_writers;
