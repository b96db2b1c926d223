DROP FUNCTION ryzed.admit(text, text, text, text, bigint);
DROP FUNCTION ryzed.refusal(uuid, text, text, text, text, bigint);
DROP INDEX ryzed.devices_barred;
ALTER TABLE ryzed.devices DROP COLUMN lost_until, DROP COLUMN barred_at;
DROP TABLE ryzed.tokens;
