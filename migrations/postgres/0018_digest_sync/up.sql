-- What a digest says is kept, not counted: of the live rows of each table in each scope how many there are, the sum of their
-- versions, and the two sums that make the hash, see "Digest" in docs/protocol.md. Triggers on the index itself keep it, so that
-- nothing that writes it can forget to.

CREATE TABLE ryzed.sums (
    scope text NOT NULL,
    table_name text NOT NULL,
    rows bigint NOT NULL,
    version_sum bigint NOT NULL,
    hash_p bigint NOT NULL,
    hash_q bigint NOT NULL,
    PRIMARY KEY (scope, table_name)
) WITH (fillfactor = 50);

-- The number that an id stands for, modulo both primes at once.
CREATE FUNCTION ryzed.number_of(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.mod(pg_catalog.encode(pg_catalog.replace(id::text, '-', '')::bytea, 'hex')::numeric, 4503592513831417)::bigint
$$;

-- Its weights, as one number: that modulo the second prime in the lower 26 bits.
CREATE FUNCTION ryzed.weight(number bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((number % 67108859) * (number % 67108859) % 67108859 * (number % 67108859) % 67108859) * 67108864
        + (number % 67108763) * (number % 67108763) % 67108763 * (number % 67108763) % 67108763
$$;

-- What the index has in these scopes, added up; in all of them where none are named.
CREATE FUNCTION ryzed.count_scopes(wanted text[]) RETURNS SETOF ryzed.sums
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT e.scope, e.table_name, count(*), sum(e.version)::bigint,
        mod(sum((e.weight >> 26) * (e.version % 67108859) % 67108859), 67108859)::bigint,
        mod(sum((e.weight & 67108863) * (e.version % 67108763) % 67108763), 67108763)::bigint
    FROM (
        SELECT n.scope, n.table_name, n.version, ryzed.weight(n.number) AS weight FROM (
            SELECT c.scope, c.table_name, c.version, ryzed.number_of(c.row_id) AS number FROM ryzed.changes c
            WHERE c.operation <> 'DELETE' AND (wanted IS NULL OR c.scope = ANY (wanted)) OFFSET 0
        ) n OFFSET 0
    ) e GROUP BY e.scope, e.table_name
$$;

-- Takes what entries of the index were out of the sums, and puts in what they are. Whoever writes entries holds their scopes, so
-- that nobody waits here for somebody else.
CREATE FUNCTION ryzed.count_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_column
DECLARE
    p CONSTANT bigint := 67108859;
    q CONSTANT bigint := 67108763;
    scopes text[];
    tables text[];
    ids uuid[];
    versions bigint[];
    signs bigint[];
BEGIN
    -- What is copied under this role from another database brings the sums along. ryzed.record_row() books under it, too.
    IF current_setting('session_replication_role') = 'replica' AND pg_trigger_depth() = 1 THEN
        RETURN NULL;
    END IF;
    CASE TG_OP
    WHEN 'INSERT' THEN
        SELECT array_agg(n.scope), array_agg(n.table_name), array_agg(n.row_id), array_agg(n.version), array_agg(1::bigint)
        INTO scopes, tables, ids, versions, signs FROM new_rows n WHERE n.operation <> 'DELETE';
    WHEN 'DELETE' THEN
        SELECT array_agg(o.scope), array_agg(o.table_name), array_agg(o.row_id), array_agg(o.version), array_agg(-1::bigint)
        INTO scopes, tables, ids, versions, signs FROM old_rows o WHERE o.operation <> 'DELETE';
    ELSE
        SELECT array_agg(e.scope), array_agg(e.table_name), array_agg(e.row_id), array_agg(e.version), array_agg(e.sign)
        INTO scopes, tables, ids, versions, signs
        FROM (
            SELECT n.scope, n.table_name, n.row_id, n.version, 1::bigint AS sign FROM new_rows n WHERE n.operation <> 'DELETE'
            UNION ALL SELECT o.scope, o.table_name, o.row_id, o.version, -1 FROM old_rows o WHERE o.operation <> 'DELETE'
        ) e;
    END CASE;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO ryzed.sums AS s (scope, table_name, rows, version_sum, hash_p, hash_q)
    SELECT e.scope, e.table_name, sum(e.sign)::bigint, sum(e.sign * e.version)::bigint,
        mod(mod(sum((e.weight >> 26) * (e.sign * (e.version % p)) % p), p) + p, p)::bigint,
        mod(mod(sum((e.weight & 67108863) * (e.sign * (e.version % q)) % q), q) + q, q)::bigint
    FROM (
        SELECT n.scope, n.table_name, n.version, n.sign, ryzed.weight(n.number) AS weight FROM (
            SELECT u.scope, u.table_name, u.version, u.sign, ryzed.number_of(u.row_id) AS number
            FROM unnest(scopes, tables, ids, versions, signs) AS u (scope, table_name, row_id, version, sign) OFFSET 0
        ) n OFFSET 0
    ) e GROUP BY e.scope, e.table_name ORDER BY e.scope, e.table_name
    ON CONFLICT (scope, table_name) DO UPDATE SET
        rows = s.rows + excluded.rows,
        version_sum = s.version_sum + excluded.version_sum,
        hash_p = (s.hash_p + excluded.hash_p) % p,
        hash_q = (s.hash_q + excluded.hash_q) % q;
    RETURN NULL;
END $$;

-- Nothing changes while it is counted.
LOCK TABLE ryzed.changes IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO ryzed.sums SELECT * FROM ryzed.count_scopes(NULL);
CREATE TRIGGER count_insert AFTER INSERT ON ryzed.changes REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_changes();
CREATE TRIGGER count_update AFTER UPDATE ON ryzed.changes REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_changes();
CREATE TRIGGER count_delete AFTER DELETE ON ryzed.changes REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_changes();
ALTER TABLE ryzed.changes ENABLE ALWAYS TRIGGER count_insert, ENABLE ALWAYS TRIGGER count_update, ENABLE ALWAYS TRIGGER count_delete;

-- Of these scopes the tables whose sums are others than the index has. One statement, so that it sees one moment.
CREATE FUNCTION ryzed.miscounted(wanted text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH kept AS MATERIALIZED (SELECT * FROM ryzed.sums s WHERE s.rows <> 0 AND s.scope = ANY (wanted)),
        counted AS MATERIALIZED (SELECT * FROM ryzed.count_scopes(wanted))
    SELECT DISTINCT d.table_name FROM (
        (TABLE kept EXCEPT TABLE counted) UNION ALL (TABLE counted EXCEPT TABLE kept)) d WHERE ryzed.is_daemon()
$$;

-- Counts these scopes anew.
CREATE FUNCTION ryzed.recount(wanted text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    IF ryzed.is_daemon() THEN
        PERFORM ryzed.hold(wanted);
        DELETE FROM ryzed.sums s WHERE s.scope = ANY (wanted);
        INSERT INTO ryzed.sums SELECT * FROM ryzed.count_scopes(wanted);
    END IF;
END $$;

-- The devices that many rows of one statement bring or take are counted at once: each by itself would leave a version of the count
-- behind, which all that follow have to pass.
CREATE OR REPLACE FUNCTION ryzed.count_device() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE ryzed.counts c SET count = c.count + CASE WHEN NEW.revoked_at IS NULL THEN 1 ELSE -1 END
            WHERE c.kind = 'devices' AND c.whose = (hashtext(NEW.user_id::text) & 15)::text;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO ryzed.counts AS c SELECT 'devices', (hashtext(n.user_id::text) & 15)::text AS whose, count(*) FROM new_rows n
            WHERE n.revoked_at IS NULL GROUP BY 2 ORDER BY 2
            ON CONFLICT (kind, whose) DO UPDATE SET count = c.count + excluded.count;
    ELSE
        INSERT INTO ryzed.counts AS c SELECT 'devices', (hashtext(o.user_id::text) & 15)::text AS whose, -count(*) FROM old_rows o
            WHERE o.revoked_at IS NULL GROUP BY 2 ORDER BY 2
            ON CONFLICT (kind, whose) DO UPDATE SET count = c.count + excluded.count;
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER count_insert ON ryzed.devices;
DROP TRIGGER count_delete ON ryzed.devices;
CREATE TRIGGER count_insert AFTER INSERT ON ryzed.devices REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_device();
CREATE TRIGGER count_delete AFTER DELETE ON ryzed.devices REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ryzed.count_device();

REVOKE ALL ON FUNCTION ryzed.number_of(uuid), ryzed.weight(bigint), ryzed.count_scopes(text[]), ryzed.count_changes(), ryzed.miscounted(text[]),
    ryzed.recount(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ryzed.number_of(uuid), ryzed.weight(bigint), ryzed.miscounted(text[]), ryzed.recount(text[]) TO ryzed_daemon;
ALTER TABLE ryzed.sums ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON ryzed.sums TO ryzed_daemon;
CREATE POLICY own ON ryzed.sums FOR SELECT TO ryzed_daemon
    USING (scope = 'global' OR scope = 'user:' || (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
