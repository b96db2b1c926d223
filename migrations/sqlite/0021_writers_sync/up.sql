-- The devices on whose behalf the running transaction writes, by the scope that each may write: uploads of several
-- people share a transaction. In another's scope a device of the same name is another, and it is the daemon that
-- writes. Empty outside of the daemon's own transactions.
CREATE TABLE sync_writers (
    scope TEXT PRIMARY KEY NOT NULL,
    device TEXT NOT NULL
) STRICT, WITHOUT ROWID;

DROP TRIGGER sync_record_insert;
CREATE TRIGGER sync_record_insert INSTEAD OF INSERT ON sync_record
BEGIN
    INSERT INTO sync_scopes (scope, version, changed_at)
    VALUES (NEW.scope, 1, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
    ON CONFLICT (scope) DO UPDATE SET version = version + 1, changed_at = max(changed_at, excluded.changed_at);

    INSERT INTO sync_changes
        (table_name, row_id, scope, version, operation, changed_at, source_device, field_versions, previous)
    SELECT NEW.table_name, NEW.row_id, NEW.scope, s.version, NEW.operation, s.changed_at,
        coalesce((SELECT device FROM sync_writers WHERE scope = NEW.scope),
            (SELECT 'ryzed' FROM sync_writers LIMIT 1)),
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
DROP TABLE sync_context;
