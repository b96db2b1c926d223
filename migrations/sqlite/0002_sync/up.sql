-- The sidecar: versions, the change index, receipts, devices, open conflicts.
-- The triggers on the synced tables are generated from the adapters; all they do is insert into the view
-- sync_record, whose trigger below keeps the books in one place. It must run in any SQLite since 3.38,
-- because it also runs in the shells and services that write to the tables directly.

CREATE TABLE sync_meta (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The device on whose behalf the running transaction writes; NULL outside of the daemon's own transactions.
CREATE TABLE sync_context (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    device TEXT
) STRICT;
INSERT INTO sync_context VALUES (1, NULL);

CREATE TABLE sync_scopes (
    scope TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    -- The highest version whose tombstone is gone.
    floor INTEGER NOT NULL DEFAULT 0,
    -- When the version was taken; never runs backwards within a scope.
    changed_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sync_changes (
    table_name TEXT NOT NULL,
    row_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    version INTEGER NOT NULL,
    operation TEXT NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
    changed_at TEXT NOT NULL,
    source_device TEXT,
    -- {"*": version of the insert, "column": version of its last change, …}; of a tombstone as it was before.
    field_versions TEXT NOT NULL DEFAULT '{}',
    -- {"column": [[since version, former value], …], …}, oldest first; of a tombstone the whole former row.
    previous TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (table_name, row_id, scope)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sync_changes_version ON sync_changes (scope, version);
CREATE INDEX sync_changes_tombstones ON sync_changes (changed_at) WHERE operation = 'DELETE';

-- What a trigger reports: a row of `table_name` is new in `scope` (INSERT), has other values there (UPDATE;
-- `former` holds the changed columns' old ones, `deep` names those whose history is kept long), or is no longer there (DELETE; `former` is the row).
CREATE VIEW sync_record AS
SELECT scope, table_name, row_id, operation, previous AS former, NULL AS deep FROM sync_changes WHERE FALSE;

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
        field_versions = CASE excluded.operation WHEN 'UPDATE' THEN json_patch(field_versions,
            (SELECT json_group_object(key, excluded.version) FROM json_each(NEW.former)))
            WHEN 'DELETE' THEN field_versions ELSE excluded.field_versions END,
        previous = CASE excluded.operation WHEN 'UPDATE' THEN json_patch(previous, (
            SELECT json_group_object(c.key, json(CASE
                WHEN NEW.deep IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(NEW.deep) d WHERE d.value = c.key)
                    OR previous -> c.key IS NULL
                THEN json_array(json_array(coalesce(field_versions ->> c.key, field_versions ->> '*'), json(NEW.former -> c.key)))
                WHEN json_array_length(previous -> c.key) < 32
                THEN json_insert(previous -> c.key, '$[#]',
                    json_array(coalesce(field_versions ->> c.key, field_versions ->> '*'), json(NEW.former -> c.key)))
                ELSE json_remove(json_insert(previous -> c.key, '$[#]',
                    json_array(coalesce(field_versions ->> c.key, field_versions ->> '*'), json(NEW.former -> c.key))), '$[0]')
                END)) FROM json_each(NEW.former) c))
            ELSE excluded.previous END;
END;

-- The answer that a mutation got: a retry gets the same one.
CREATE TABLE sync_receipts (
    user_id TEXT NOT NULL,
    mutation_id TEXT NOT NULL,
    result TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (user_id, mutation_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_receipts_created_at ON sync_receipts (created_at);

CREATE TABLE sync_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    device_type TEXT,
    app_version TEXT,
    name TEXT,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    last_sync TEXT,
    pending_uploads INTEGER NOT NULL DEFAULT 0,
    cursor TEXT,
    revoked_at TEXT,
    PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_devices_last_seen ON sync_devices (last_seen);

-- Conflicts under the strategy `manual`, until a person settles them.
CREATE TABLE sync_conflicts (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    -- What the client was told, and what it had sent.
    conflict TEXT NOT NULL,
    mutation TEXT NOT NULL
) STRICT;
CREATE INDEX sync_conflicts_user_id ON sync_conflicts (user_id, created_at);
