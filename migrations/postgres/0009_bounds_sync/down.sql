DROP TRIGGER count_insert ON ryzed.devices;
DROP TRIGGER count_delete ON ryzed.devices;
DROP TRIGGER count_update ON ryzed.devices;
DROP FUNCTION ryzed.count_device();
DROP TABLE ryzed.counts;
DROP INDEX ryzed.conflicts_place;
DROP INDEX ryzed.conflicts_page;
CREATE INDEX conflicts_user_id ON ryzed.conflicts (user_id, created_at);
ALTER TABLE ryzed.conflicts DROP COLUMN place, DROP COLUMN bytes;
