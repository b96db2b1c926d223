-- What a database is made of, and what its tables hold, for servers that are newer than the pg_dump at hand. `:schema` and `:data`
-- are 1 for what is wanted; `:sidecar` is 0 to leave out the schema ryzed. Rights are written out, also where they are the usual.

SET search_path = pg_catalog;
CREATE TEMP VIEW own AS SELECT oid, nspname, nspacl, nspowner FROM pg_namespace
    WHERE nspname !~ '^(pg_|information_schema$)' AND (:sidecar = 1 OR nspname <> 'ryzed');

SELECT 'schema', nspname, nspowner::regrole, ARRAY(SELECT a::text FROM unnest(coalesce(nspacl, acldefault('n', nspowner))) a ORDER BY 1) FROM own WHERE :schema = 1 ORDER BY 2;
SELECT 'relation', c.oid::regclass, c.relkind, c.relowner::regrole, ARRAY(SELECT a::text FROM unnest(coalesce(c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))) a ORDER BY 1), c.relrowsecurity, c.relforcerowsecurity, c.reloptions
    FROM pg_class c JOIN own n ON n.oid = c.relnamespace WHERE :schema = 1 ORDER BY 2;
SELECT 'column', a.attrelid::regclass, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl,
    pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN own n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE :schema = 1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 2, a.attnum;
SELECT 'constraint', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN own n ON n.oid = c.connamespace
    WHERE :schema = 1 ORDER BY 2, 3;
SELECT 'trigger', g.tgrelid::regclass, pg_get_triggerdef(g.oid), g.tgenabled FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
    JOIN own n ON n.oid = c.relnamespace WHERE :schema = 1 AND NOT g.tgisinternal ORDER BY 2, 3;
SELECT 'policy', p.polrelid::regclass, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
    pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN own n ON n.oid = c.relnamespace
    WHERE :schema = 1 ORDER BY 2, 3;
SELECT 'function', f.oid::regprocedure, f.proowner::regrole, ARRAY(SELECT a::text FROM unnest(coalesce(f.proacl, acldefault('f', f.proowner))) a ORDER BY 1), md5(pg_get_functiondef(f.oid)) FROM pg_proc f
    JOIN own n ON n.oid = f.pronamespace WHERE :schema = 1 AND f.prokind IN ('f', 'p') ORDER BY 2;
SELECT 'type', t.oid::regtype, t.typtype FROM pg_type t JOIN own n ON n.oid = t.typnamespace WHERE :schema = 1 ORDER BY 2;
-- As pg_dump says it, so that stories can tell these lines.
SELECT 'setval', schemaname, sequencename, last_value FROM pg_sequences JOIN own n ON n.nspname = schemaname WHERE :data = 1 ORDER BY 2, 3;
SELECT 'rows', c.oid::regclass, query_to_xml(format('SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM %s t',
    c.oid::regclass), FALSE, TRUE, '') FROM pg_class c JOIN own n ON n.oid = c.relnamespace
    WHERE :data = 1 AND c.relkind = 'r' ORDER BY 2;
