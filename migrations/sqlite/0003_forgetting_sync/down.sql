DROP INDEX sync_changes_tombstones;
CREATE INDEX sync_changes_tombstones ON sync_changes (changed_at) WHERE operation = 'DELETE';
