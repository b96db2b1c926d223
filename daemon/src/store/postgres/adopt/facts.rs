//! Reads the database's catalogue about the tables that might be synced, in two statements.

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Deserialize;
use serde_json::json;

use super::super::fault::judge;
use super::super::layout::FoundRights;
use super::super::sql_text::{execute, texts};
use super::Naming;
use super::ident::ident;
use crate::store::StoreError;
use crate::store::statement::statement;

/// Everything that is looked at.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The server, and what the connected user may do.
    pub server: Server,
    /// Tables that have the name of a synced one, or that the configuration names.
    pub relations: Vec<Relation>,
}

/// The server, and what the connected user may do.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Server {
    /// Its release, such as `15.4`.
    pub version: String,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// True if the user may create the schema `ryzed`.
    pub may_make_schema: bool,
    /// True if the role `ryzed_daemon` exists.
    pub has_role: bool,
    /// True if the user may create a role.
    pub may_make_role: bool,
    /// True if the user may take the role `ryzed_daemon`, or allow itself to.
    pub may_take_role: bool,
    /// True if the daemon's role is a member of `authenticated`, or the user may make it one.
    pub may_be_authenticated: bool,
    /// True if a schema `auth` exists.
    pub has_auth: bool,
    /// True if a function `auth.uid()` exists.
    pub has_uid: bool,
    /// True if the daemon's role can use `auth`, or the user may allow it.
    pub auth_is_open: bool,
    /// True if the role `authenticated` can use `auth`, so that membership is enough.
    pub auth_is_of_authenticated: bool,
}

/// A table, or what looks like one.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Relation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `r` is an ordinary table; see `pg_class.relkind`.
    pub kind: String,
    /// True if it is a partition or inherits.
    pub is_part: bool,
    /// True if the user may put triggers on it.
    pub is_ours: bool,
    /// True if row level security is on.
    pub has_rls: bool,
    /// True if row level security binds even the user.
    pub forces_rls: bool,
    /// True if the daemon's role can use its schema, or the user may allow it.
    pub is_reachable: bool,
    /// The number of the application's restrictive policies for everybody, and so for the daemon's role.
    pub restrictive: i64,
    /// The number of restrictive policies for the role `authenticated`, or one that it belongs to.
    pub narrow_authenticated: i64,
    /// The number of its other policies for everybody, or for the daemon's role.
    pub for_everybody: i64,
    /// The number of its other policies for the role `authenticated`, or one that it belongs to.
    pub for_authenticated: i64,
    /// The number of its other policies for other roles.
    pub for_others: i64,
    /// The rights of the role `authenticated`, when it was granted anything.
    #[serde(default)]
    pub rights: Option<FoundRights>,
    /// The planner's estimate of its rows; negative when the table was never analysed.
    pub rows: i64,
    /// True if its column `id` alone is a key.
    pub has_key: bool,
    /// Its columns, in their order.
    pub columns: Vec<FoundColumn>,
    /// Foreign keys of one column.
    pub keys: Vec<ForeignKey>,
    /// The target of each column of its foreign keys, also of those that have several.
    pub pointers: Vec<Pointer>,
}

/// A column.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct FoundColumn {
    /// Its name.
    pub name: String,
    /// Its type, as SQL writes it.
    pub sql_type: String,
    /// The type without length and domain, as the catalogue names it.
    pub base: String,
    /// The values of an enum, else none.
    pub labels: Vec<String>,
    /// True if it is a list of an enum's values.
    pub is_label_list: bool,
    /// The most characters, where the type says so.
    pub longest: Option<u32>,
    /// True if it takes NULL.
    pub nullable: bool,
    /// Its default, as SQL.
    pub default: Option<String>,
    /// True if it is computed from others.
    pub is_generated: bool,
    /// True if a sequence fills it.
    pub is_counted: bool,
}

/// A foreign key of one column.
#[derive(Debug, Clone, Deserialize)]
pub struct ForeignKey {
    /// The column.
    pub column: String,
    /// The schema of the table that it points to.
    pub schema: String,
    /// That table.
    pub name: String,
    /// True if the key is checked at once and points to ids, so that a row comes after the one that it points to.
    pub is_enforced_immediately: bool,
}

/// One column of a foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pointer {
    /// The column.
    pub column: String,
    /// The schema of the table that it points to.
    pub schema: String,
    /// That table.
    pub name: String,
    /// The column there.
    pub there: String,
}

impl Relation {
    /// The column of this name.
    pub(in super::super) fn column(&self, name: &str) -> Option<&FoundColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The table as SQL takes it.
    pub(super) fn sql(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// The table as people name it.
    pub(super) fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// The right to take a role, which has a name of its own since PostgreSQL 16.
pub(super) const TAKES: &str =
    "CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END";

const SERVER: &str = "SELECT json_build_object('version', current_setting('server_version'), 'user', current_user, 'database', current_database(), \
    'may_make_schema', has_database_privilege(current_database(), 'CREATE'), \
    'has_role', to_regrole('ryzed_daemon') IS NOT NULL, \
    'may_make_role', (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user), \
    'may_take_role', coalesce(pg_has_role(current_user, to_regrole('ryzed_daemon'), {TAKES}), TRUE) \
        OR pg_has_role(current_user, to_regrole('ryzed_daemon'), 'MEMBER WITH ADMIN OPTION') \
        OR (current_setting('server_version_num')::int < 160000 \
            AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)), \
    'may_be_authenticated', coalesce(pg_has_role(to_regrole('ryzed_daemon'), to_regrole('authenticated'), 'USAGE'), FALSE) \
        OR coalesce(pg_has_role(current_user, to_regrole('authenticated'), 'MEMBER WITH ADMIN OPTION'), TRUE) \
        OR (current_setting('server_version_num')::int < 160000 \
            AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)), \
    'has_auth', to_regnamespace('auth') IS NOT NULL, 'has_uid', to_regprocedure('auth.uid()') IS NOT NULL, \
    'auth_is_open', coalesce(has_schema_privilege(to_regnamespace('auth'), 'USAGE WITH GRANT OPTION') \
        OR has_schema_privilege(to_regrole('ryzed_daemon'), to_regnamespace('auth'), 'USAGE') \
        OR has_schema_privilege('public', to_regnamespace('auth'), 'USAGE'), to_regnamespace('auth') IS NULL, FALSE), \
    'auth_is_of_authenticated', coalesce(has_schema_privilege(to_regrole('authenticated'), to_regnamespace('auth'), 'USAGE'), FALSE))::text";

const RELATIONS: &str = "SELECT json_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind, \
    'is_part', c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)), \
    'is_ours', pg_has_role(c.relowner, 'USAGE'), 'has_rls', c.relrowsecurity, \
    'forces_rls', c.relrowsecurity AND c.relforcerowsecurity \
        AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user), \
    'is_reachable', coalesce(has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION') \
        OR has_schema_privilege(to_regrole('ryzed_daemon'), n.oid, 'USAGE') \
        OR has_schema_privilege('public', n.oid, 'USAGE'), FALSE), \
    'restrictive', (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive \
        AND p.polname NOT LIKE 'ryzed\\_%' AND 0 = ANY (p.polroles)), \
    'narrow_authenticated', (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND NOT p.polpermissive \
        AND p.polname NOT LIKE 'ryzed\\_%' AND EXISTS (SELECT FROM unnest(p.polroles) r \
            WHERE r <> 0 AND pg_has_role(to_regrole('authenticated'), r, 'USAGE'))), \
    'for_everybody', (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive \
        AND p.polname NOT LIKE 'ryzed\\_%' AND p.polroles && ARRAY[0, to_regrole('ryzed_daemon')::oid]), \
    'for_authenticated', (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive \
        AND p.polname NOT LIKE 'ryzed\\_%' AND EXISTS (SELECT FROM unnest(p.polroles) r \
            WHERE r <> 0 AND pg_has_role(to_regrole('authenticated'), r, 'USAGE'))), \
    'for_others', (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polname NOT LIKE 'ryzed\\_%' \
        AND NOT p.polroles && ARRAY[0, to_regrole('ryzed_daemon')::oid] AND NOT EXISTS (SELECT FROM unnest(p.polroles) r \
            WHERE r <> 0 AND pg_has_role(to_regrole('authenticated'), r, 'USAGE'))), \
    'rights', CASE WHEN EXISTS (SELECT FROM (SELECT (aclexplode(c.relacl)).grantee \
            UNION SELECT (aclexplode(a.attacl)).grantee FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) g \
            WHERE g.grantee NOT IN (0, c.relowner) AND pg_has_role(to_regrole('authenticated'), g.grantee, 'USAGE')) \
        THEN (SELECT json_build_object('delete', has_table_privilege(to_regrole('authenticated'), c.oid, 'DELETE'), \
            'select', coalesce(json_agg(a.attname) FILTER (WHERE has_column_privilege(to_regrole('authenticated'), c.oid, a.attnum, 'SELECT')), '[]'), \
            'insert', coalesce(json_agg(a.attname) FILTER (WHERE has_column_privilege(to_regrole('authenticated'), c.oid, a.attnum, 'INSERT')), '[]'), \
            'update', coalesce(json_agg(a.attname) FILTER (WHERE has_column_privilege(to_regrole('authenticated'), c.oid, a.attnum, 'UPDATE')), '[]')) \
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END, \
    'rows', c.reltuples::bigint, \
    'has_key', EXISTS (SELECT FROM pg_index x JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0] \
        WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL \
        AND x.indnkeyatts = 1 AND a.attname = 'id' AND a.attnotnull), \
    'columns', (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'sql_type', format_type(a.atttypid, a.atttypmod), \
        'base', b.typname, \
        'labels', (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]') FROM pg_enum e \
            WHERE e.enumtypid = b.oid), \
        'is_label_list', EXISTS (SELECT FROM pg_type i WHERE i.oid = b.typelem AND i.typtype = 'e'), \
        'longest', CASE WHEN b.typname IN ('varchar', 'bpchar') AND greatest(a.atttypmod, domains.length) > 4 \
            THEN greatest(a.atttypmod, domains.length) - 4 END, \
        'nullable', NOT a.attnotnull AND NOT domains.is_full, 'default', CASE WHEN a.attgenerated = '' THEN coalesce( \
            pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attidentity = '' THEN domains.fallback END) END, \
        'is_generated', a.attgenerated <> '', 'is_counted', a.attidentity <> '') \
        ORDER BY a.attnum), '[]') FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
        CROSS JOIN LATERAL (WITH RECURSIVE down AS (SELECT t.oid, t.typbasetype, t.typnotnull, t.typdefault, t.typtypmod, 0 AS depth \
            UNION ALL SELECT u.oid, u.typbasetype, u.typnotnull, u.typdefault, u.typtypmod, n.depth + 1 \
            FROM down n JOIN pg_type u ON u.oid = n.typbasetype) \
            SELECT (array_agg(w.oid ORDER BY w.depth DESC))[1] AS base, bool_or(w.typnotnull) AS is_full, max(w.typtypmod) AS length, \
            (array_agg(w.typdefault ORDER BY w.depth) FILTER (WHERE w.typdefault IS NOT NULL))[1] AS fallback FROM down w) domains \
        JOIN pg_type b ON b.oid = domains.base \
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
    'keys', (SELECT coalesce(json_agg(json_build_object('column', a.attname, 'schema', rn.nspname, 'name', r.relname, \
        'is_enforced_immediately', f.convalidated AND NOT f.condeferrable AND EXISTS (SELECT FROM pg_attribute i \
            WHERE i.attrelid = f.confrelid AND i.attnum = f.confkey[1] AND i.attname = 'id'))), '[]') \
        FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace \
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1] \
        WHERE f.conrelid = c.oid AND f.contype = 'f' AND cardinality(f.conkey) = 1), \
    'pointers', (SELECT coalesce(json_agg(json_build_object('column', a.attname, 'schema', rn.nspname, 'name', r.relname, \
        'there', o.attname)), '[]') FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid \
        JOIN pg_namespace rn ON rn.oid = r.relnamespace CROSS JOIN LATERAL unnest(f.conkey, f.confkey) k (here, there) \
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.here \
        JOIN pg_attribute o ON o.attrelid = f.confrelid AND o.attnum = k.there \
        WHERE f.conrelid = c.oid AND f.contype = 'f'))::text \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema$|ryzed$)' \
    AND EXISTS (SELECT FROM json_to_recordset(?1::json) AS w (schema text, name text) \
        WHERE w.name = c.relname AND coalesce(w.schema = n.nspname, n.nspname <> 'auth')) ORDER BY n.nspname, c.relname";

/// Reads the facts about the tables of these names, in whatever schema, and about those that the configuration names.
pub(in super::super) async fn facts(
    connection: &mut AsyncPgConnection,
    names: impl Iterator<Item = &str>,
    naming: &Naming,
) -> Result<Facts, StoreError> {
    let mut wanted: Vec<_> = names.map(|name| json!({"name": name})).collect();
    wanted.extend(naming.values().map(|table| json!({"schema": table.schema, "name": table.name})));
    let wanted = json!(wanted).to_string();
    // With nothing else in the way, types and defaults are written with their schemas.
    execute(connection, "SET search_path = pg_catalog").await?;
    let server = texts(connection, &SERVER.replace("{TAKES}", TAKES)).await?.into_iter().next().unwrap_or_default();
    let relations: Vec<String> =
        statement::<Text>(RELATIONS).text(wanted).load(connection).await.map_err(|error| judge(&error).0)?;
    execute(connection, "RESET search_path").await?;
    let relations = relations.iter().map(|relation| read(relation)).collect::<Result<_, _>>()?;
    Ok(Facts { server: read(&server)?, relations })
}

fn read<'j, T: Deserialize<'j>>(json: &'j str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::Failed(format!("the catalogue is not understood: {error}")))
}
