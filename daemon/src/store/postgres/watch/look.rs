//! Reads the catalogue about the synced tables: as a fingerprint that shows any change, and in full. Nothing here waits
//! for anybody's lock.

use std::collections::BTreeMap;

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Deserialize;
use serde_json::json;

use super::super::fault::judge;
use super::super::layout::Place;
use super::super::triggers::{Placed, owner_column};
use crate::store::StoreError;
use crate::store::statement::statement;

/// A transaction before all others.
pub(in crate::store::postgres) const EVER: &str = "3";

/// One table, by what was noted when everything was put up round it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in super::super) struct Stand {
    /// Its name on the wire.
    pub table: String,
    /// The relation's number.
    pub oid: u32,
    /// The schema that the relation is in now, and its name there; none when it was dropped.
    pub schema: Option<String>,
    pub name: Option<String>,
    /// True if the note is of another database: this one was restored from a dump.
    pub is_restored: bool,
    /// True if relation, names, and the columns that the books depend on are those that were noted.
    pub is_as_made: bool,
    /// True if the table that has the name now is the one that was noted, with the same columns, whatever names these
    /// had.
    pub continues: bool,
    /// The present name of the column that was `id`, and of the owner's; none when it was dropped.
    pub id: Option<String>,
    pub owner: Option<String>,
    /// The former name of the owner's column.
    pub owner_column: String,
    /// Columns that have the names of others.
    pub other_columns: Vec<String>,
    /// True if DDL has given its rows other values.
    pub is_rewritten: bool,
    /// The table itself and the tables that its rows hang on.
    pub lineage: Vec<String>,
    /// True if row level security was on, and if it is.
    pub had_rls: bool,
    pub has_rls: bool,
    /// True if our policies, and our triggers, are those that were installed.
    pub has_policies: bool,
    pub has_triggers: bool,
    /// True if one of the triggers is switched off.
    pub is_off: bool,
    /// True if they are those that this release installs.
    pub is_made: bool,
    /// The rights on rows that the daemon's role lacks, and whether it can't even use their schema.
    pub may_not: Vec<String>,
    pub is_closed: bool,
    /// Policies that bind the daemon's role and are not ours.
    pub foreign: Vec<String>,
    /// True if row level security does not bind the daemon's role.
    pub passes_by: bool,
    /// True if the daemon's role is a member of `authenticated`.
    pub is_authenticated: bool,
    /// The reasons for which the index may be wrong.
    pub notes: Vec<String>,
    /// True if rows are still to be entered into the index.
    pub is_entering: bool,
}

impl Stand {
    /// Columns of a place that have the names of others.
    pub(in super::super) fn others(&self, place: &Place) -> Vec<&str> {
        let travels = |name: &&str| place.columns.iter().any(|column| column.column == *name);
        self.other_columns.iter().map(String::as_str).filter(travels).collect()
    }
}

const STANDS: &str = "SELECT json_build_object('table', t.table_name, 'oid', t.relation::oid::bigint, 'schema', n.nspname, 'name', c.relname, \
    'is_restored', coalesce(split_part(t.stamp, ' ', 1) <> t.relation::oid::text, FALSE), \
    'is_as_made', coalesce(t.stamp = ryzed.stamp_of(t.relation, t.owner_column), FALSE), \
    'continues', coalesce((string_to_array(t.stamp, ' '))[1:5] \
        = (string_to_array(ryzed.stamp_of(to_regclass(w.relation), w.owner), ' '))[1:5], FALSE), \
    'id', (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.relation AND NOT a.attisdropped \
        AND a.attnum = split_part(t.stamp, ' ', 2)::int), \
    'owner', (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.relation AND NOT a.attisdropped \
        AND a.attnum = split_part(t.stamp, ' ', 4)::int), \
    'owner_column', t.owner_column, 'other_columns', (SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_attribute a \
        WHERE a.attrelid = t.relation AND NOT a.attisdropped AND split_part(t.stamp, ' ', 1) = t.relation::oid::text \
        AND a.attnum <> (t.columns ->> a.attname)::int), 'is_rewritten', ryzed.is_rewritten(t.table_name), 'lineage', t.lineage, 'had_rls', coalesce(t.guarded, FALSE), \
    'has_rls', coalesce(c.relrowsecurity, FALSE), \
    'has_policies', coalesce(t.policies = ryzed.policies_of(t.relation), FALSE), \
    'has_triggers', coalesce(t.triggers = ryzed.triggers_of(t.relation), FALSE) AND (t.made IS DISTINCT FROM md5(w.made) \
        OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname = 'replica_ryzed')), \
    'is_off', NOT ryzed.fires(t.relation), \
    'is_made', coalesce(t.made = md5(w.made), FALSE), \
    'may_not', (SELECT coalesce(json_agg(p), '[]') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p \
        WHERE NOT has_table_privilege(to_regrole('ryzed_daemon'), t.relation, p)), \
    'is_closed', coalesce(NOT has_schema_privilege(to_regrole('ryzed_daemon'), n.oid, 'USAGE'), FALSE), \
    'foreign', (SELECT coalesce(json_agg(p.polname ORDER BY p.polname), '[]') FROM pg_policy p WHERE p.polrelid = t.relation \
        AND p.polname NOT LIKE 'ryzed\\_%' AND EXISTS (SELECT FROM unnest(p.polroles) r \
            WHERE r = 0 OR pg_has_role(to_regrole('ryzed_daemon'), r, 'USAGE'))), \
    'passes_by', coalesce((SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.rolname = 'ryzed_daemon'), FALSE), \
    'is_authenticated', coalesce(pg_has_role(to_regrole('ryzed_daemon'), to_regrole('authenticated'), 'USAGE'), FALSE), \
    'notes', (SELECT coalesce(json_agg(DISTINCT s.reason), '[]') FROM ryzed.stopped s WHERE s.table_name = t.table_name), \
    'is_entering', EXISTS (SELECT FROM ryzed.entering e WHERE e.table_name = t.table_name AND NOT e.done))::text \
    FROM ryzed.tables t LEFT JOIN pg_class c ON c.oid = t.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN json_to_recordset(?1::json) AS w (name text, relation text, owner text, made text) ON w.name = t.table_name";

/// Reads the notes on each table, compared with the catalogue; by the names on the wire.
pub(in super::super) async fn stands(
    connection: &mut AsyncPgConnection,
    placed: Placed<'_>,
) -> Result<BTreeMap<String, Stand>, StoreError> {
    let wanted = placed.iter().map(|(table, place)| {
        let (relation, made) = (place.relation(), placed.made(table, place));
        json!({"name": table.name, "relation": relation, "owner": owner_column(table, place), "made": made})
    });
    let wanted: Vec<_> = wanted.collect();
    let found: Vec<String> = statement::<Text>(STANDS)
        .text(json!(wanted).to_string())
        .load(connection)
        .await
        .map_err(|error| judge(&error).0)?;
    found
        .iter()
        .map(|stand| {
            let stand: Stand = serde_json::from_str(stand)
                .map_err(|error| StoreError::Failed(format!("the catalogue is not understood: {error}")))?;
            Ok((stand.table.clone(), stand))
        })
        .collect()
}

/// In a word, everything on which that answer depends, and what else the daemon's statements depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Another one when anything is other than it was, also when it is as before that.
    pub all: String,
    /// The marks of each table's triggers.
    pub triggers: BTreeMap<String, Marks>,
    /// The snapshot's horizon: everything written before this transaction is known.
    pub horizon: String,
}

/// The triggers of a table: others after they were switched off and on again, or others were put in their places.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Marks {
    /// Another one after somebody has noted the table's state, as the installation of triggers does.
    pub noted: String,
    pub marks: String,
}

// The transaction that wrote a row of the catalogue last is another one after each change, whatever the change was.
const FINGERPRINT: &str = "WITH t AS MATERIALIZED (SELECT relation::oid AS oid, table_name, xmin::text AS xmin FROM ryzed.tables), \
    g AS MATERIALIZED (SELECT t.table_name, t.xmin AS noted, md5(string_agg(concat_ws(' ', g.oid, g.xmin), ',' ORDER BY g.oid)) AS marks \
        FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND (g.tgname LIKE 'ryzed\\_%' OR g.tgname = 'replica_ryzed') GROUP BY t.table_name, t.xmin) \
    SELECT json_build_object('all', md5(concat_ws('/', \
        (SELECT string_agg(concat_ws(' ', t.table_name, t.xmin, c.oid, c.xmin, n.oid, n.xmin), ',' ORDER BY t.table_name) \
            FROM t LEFT JOIN pg_class c ON c.oid = t.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace), \
        (SELECT string_agg(concat_ws(' ', a.attrelid, a.attnum, a.xmin, d.xmin, y.xmin), ',' ORDER BY a.attrelid, a.attnum) \
            FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 \
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
            LEFT JOIN pg_type y ON y.oid = a.atttypid AND y.oid >= 16384), \
        (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ',' ORDER BY p.oid) FROM t JOIN pg_policy p ON p.polrelid = t.oid), \
        (SELECT string_agg(concat_ws(' ', g.table_name, g.marks), ',' ORDER BY g.table_name) FROM g), \
        (SELECT string_agg(concat_ws(' ', i.inhrelid, i.inhparent), ',' ORDER BY i.inhrelid, i.inhparent) \
            FROM t JOIN pg_inherits i ON t.oid IN (i.inhrelid, i.inhparent)), \
        (SELECT string_agg(concat_ws(' ', f.oid, f.xmin), ',' ORDER BY f.oid) FROM pg_proc f \
            WHERE f.pronamespace = 'ryzed'::regnamespace), \
        (SELECT concat_ws(' ', r.oid, r.rolsuper, r.rolbypassrls, r.rolinherit, to_regrole('authenticated')::oid) \
            FROM pg_roles r WHERE r.rolname = 'ryzed_daemon'), \
        (SELECT string_agg(concat_ws(' ', m.member, m.roleid, m.xmin), ',' ORDER BY m.member, m.roleid) FROM pg_auth_members m \
            WHERE m.member IN (to_regrole('ryzed_daemon'), to_regrole('authenticated'))), \
        (SELECT concat_ws(' ', count(*), max(s.since)) FROM ryzed.stopped s), \
        (SELECT concat_ws(' ', count(*), sum(p.xmin::text::bigint)) FROM ryzed.passed p), \
        (SELECT count(*) FROM ryzed.entering e WHERE NOT e.done))), \
    'triggers', (SELECT coalesce(json_object_agg(g.table_name, json_build_object('noted', g.noted, 'marks', g.marks)), '{}') FROM g), \
    'horizon', pg_snapshot_xmin(pg_current_snapshot())::text)::text";

#[derive(Deserialize)]
struct FingerprintAnswer {
    all: String,
    triggers: BTreeMap<String, Marks>,
    horizon: String,
}

/// Reads it; one statement of a few milliseconds.
pub(super) async fn fingerprint(connection: &mut AsyncPgConnection) -> Result<Fingerprint, StoreError> {
    let found: Vec<String> = statement::<Text>(FINGERPRINT).load(connection).await.map_err(|error| judge(&error).0)?;
    let told = found.into_iter().next().map(|told| serde_json::from_str::<FingerprintAnswer>(&told));
    match told {
        Some(Ok(FingerprintAnswer { all, triggers, horizon })) => Ok(Fingerprint { all, triggers, horizon }),
        _ => Err(StoreError::Failed("the catalogue has no fingerprint".into())),
    }
}
