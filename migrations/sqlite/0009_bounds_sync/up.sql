-- What one person can make the database hold and do is bounded.

-- What is counted as it comes and goes, so that nobody has to count it: the devices that may call (`devices`), the sum of all
-- versions (`versions`), each person's receipts (`receipts`).
CREATE TABLE sync_counts (
    kind TEXT NOT NULL,
    whose TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, whose)
) STRICT, WITHOUT ROWID;
INSERT INTO sync_counts SELECT 'devices', '', count(*) FROM sync_devices WHERE revoked_at IS NULL;
INSERT INTO sync_counts SELECT 'versions', '', coalesce(sum(version), 0) FROM sync_scopes;
INSERT INTO sync_counts SELECT 'receipts', user_id, count(*) FROM sync_receipts GROUP BY user_id;

CREATE TRIGGER count_devices_insert AFTER INSERT ON sync_devices WHEN NEW.revoked_at IS NULL BEGIN
    UPDATE sync_counts SET count = count + 1 WHERE kind = 'devices' AND whose = '';
END;
CREATE TRIGGER count_devices_delete AFTER DELETE ON sync_devices WHEN OLD.revoked_at IS NULL BEGIN
    UPDATE sync_counts SET count = count - 1 WHERE kind = 'devices' AND whose = '';
END;
CREATE TRIGGER count_devices_update AFTER UPDATE OF revoked_at ON sync_devices
WHEN (NEW.revoked_at IS NULL) <> (OLD.revoked_at IS NULL) BEGIN
    UPDATE sync_counts SET count = count + iif(NEW.revoked_at IS NULL, 1, -1) WHERE kind = 'devices' AND whose = '';
END;
CREATE TRIGGER count_versions_insert AFTER INSERT ON sync_scopes WHEN NEW.version <> 0 BEGIN
    UPDATE sync_counts SET count = count + NEW.version WHERE kind = 'versions' AND whose = '';
END;
CREATE TRIGGER count_versions_delete AFTER DELETE ON sync_scopes WHEN OLD.version <> 0 BEGIN
    UPDATE sync_counts SET count = count - OLD.version WHERE kind = 'versions' AND whose = '';
END;
CREATE TRIGGER count_versions_update AFTER UPDATE OF version ON sync_scopes WHEN NEW.version <> OLD.version BEGIN
    UPDATE sync_counts SET count = count + NEW.version - OLD.version WHERE kind = 'versions' AND whose = '';
END;

-- Open conflicts are read in pages, in the order of their ids, and counted. Those of one place, a row and a device, are one.
ALTER TABLE sync_conflicts ADD COLUMN place TEXT;
ALTER TABLE sync_conflicts ADD COLUMN bytes INTEGER;
DROP INDEX sync_conflicts_user_id;
CREATE INDEX sync_conflicts_page ON sync_conflicts (user_id, id, bytes);
CREATE UNIQUE INDEX sync_conflicts_place ON sync_conflicts (user_id, place) WHERE place IS NOT NULL;

-- As before, but that former values over 16 KiB are not kept: `long` names the columns that had one. What they were is then
-- unknown, as it is of a value that was replaced twice.
DROP VIEW sync_record;
CREATE VIEW sync_record AS
SELECT scope, table_name, row_id, operation, previous AS former, NULL AS deep, NULL AS long FROM sync_changes WHERE FALSE;

CREATE TRIGGER sync_record_insert INSTEAD OF INSERT ON sync_record
BEGIN
    INSERT INTO sync_scopes (scope, version, changed_at)
    VALUES (NEW.scope, 1, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
    ON CONFLICT (scope) DO UPDATE SET version = version + 1, changed_at = max(changed_at, excluded.changed_at);

    INSERT INTO sync_changes
        (table_name, row_id, scope, version, operation, changed_at, source_device, field_versions, previous)
    SELECT NEW.table_name, NEW.row_id, NEW.scope, s.version, NEW.operation, s.changed_at,
        (SELECT device FROM sync_context),
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
