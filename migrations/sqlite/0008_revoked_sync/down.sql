DROP INDEX sync_devices_barred;
ALTER TABLE sync_devices DROP COLUMN lost_until;
ALTER TABLE sync_devices DROP COLUMN barred_at;
DROP TABLE sync_tokens;
