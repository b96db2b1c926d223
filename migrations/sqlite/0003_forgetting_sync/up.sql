-- Tombstones are found in the order in which they are forgotten, also where one statement has made thousands of them.
DROP INDEX sync_changes_tombstones;
CREATE INDEX sync_changes_tombstones ON sync_changes (changed_at, version) WHERE operation = 'DELETE';
