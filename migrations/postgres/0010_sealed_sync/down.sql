ALTER TABLE ryzed.instances DROP COLUMN hears_sealed;
DROP MATERIALIZED VIEW ryzed.bridge_key;
