DROP FUNCTION ryzed.bring_below() CASCADE;
CREATE OR REPLACE FUNCTION ryzed.before_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %s', TG_RELID::regclass);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ryzed.touch(wanted text[], at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE ryzed.scopes s SET changed_at = greatest(s.changed_at, at) WHERE s.scope IN (
        SELECT h.scope FROM ryzed.scopes h WHERE h.scope = ANY (wanted) AND h.changed_at < at FOR NO KEY UPDATE SKIP LOCKED);
END $$;
