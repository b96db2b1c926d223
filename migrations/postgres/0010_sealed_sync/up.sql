-- What instances tell each other is sealed with a key that only the owner of the database reads.

-- Made by the database, and again whenever the view is refreshed. A dump of the database says how the key is made and not
-- what it is, so a copy that is restored elsewhere has another one.
CREATE MATERIALIZED VIEW ryzed.bridge_key AS
SELECT pg_catalog.gen_random_uuid() AS a, pg_catalog.gen_random_uuid() AS b, pg_catalog.gen_random_uuid() AS c;

-- Whatever default privileges the owner has given away: nobody else reads it.
DO $$
DECLARE
    others text;
BEGIN
    FOR others IN
        SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_class c, aclexplode(c.relacl) g
        WHERE c.oid = 'ryzed.bridge_key'::regclass AND g.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE ALL ON ryzed.bridge_key FROM ' || others;
    END LOOP;
END $$;

-- Whether sealed messages over Redis reach an instance; none of one that is of an older release, and seals nothing. To such a
-- one, hears_redis tells whether its own messages are heard there, so it is false for all that seal.
ALTER TABLE ryzed.instances ADD COLUMN hears_sealed boolean;
