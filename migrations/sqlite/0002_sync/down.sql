DROP TABLE sync_conflicts;
DROP TABLE sync_devices;
DROP TABLE sync_receipts;
DROP VIEW sync_record;
DROP TABLE sync_changes;
DROP TABLE sync_scopes;
DROP TABLE sync_context;
DROP TABLE sync_meta;
