//! What holds for the live rows of scopes together. Of most tables it is kept. Where policies of the application decide what who
//! asks is shown, the rows are added up; when nothing but the row and the token can decide it, once for each state of the scopes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use diesel::sql_types::Text;
use ryzed_adapters::{Registry, Table};

use super::layout::{Place, literal};
use super::reads::list;
use super::session::PostgresTransaction;
use super::sql::Guard;
use super::triggers::{POLICIES, Placed};
use crate::store::decode::{Sums, SumsTuple, digest_of};
use crate::store::statement::statement;
use crate::store::{Stopped, StoreError};
use crate::sync::Scope;
use crate::sync::digest::{Hash, TableDigest};

/// The most people whose sums are remembered.
const REMEMBERED: usize = 1000;

/// What is kept of the live rows in the scopes `?1`, by table.
const KEPT: &str = "SELECT s.table_name, s.rows, s.version_sum, s.hash_p, s.hash_q FROM ryzed.sums s \
    WHERE s.scope = ANY (?1::text[]) AND s.rows <> 0 AND s.table_name <> ALL (?2::text[])";

/// The statements of the digest, and what they came to.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// Of an application's tables what decides who is shown which rows; none where all tables are the daemon's own.
    rulings: Option<String>,
    /// The sums of what who asks is shown of the tables in `?2` in the scopes `?1`.
    shown: String,
    /// By the claims of who asked.
    remembered: Mutex<HashMap<String, Remembered>>,
}

/// Sums of what policies show.
#[derive(Debug, Clone)]
struct Remembered {
    /// Everything that they follow from.
    basis: String,
    tables: Vec<String>,
    sums: Vec<SumsTuple>,
}

/// What decides which rows of a table are shown: nothing but whose they are, the rows and the token, or other things, too.
const OWNERS: &str = "owners";
const ROWS: &str = "rows";

impl Digests {
    pub(super) fn new(placed: Placed<'_>, stopped: &Stopped, guard: impl Fn(&Table) -> Guard) -> Self {
        let ruled: Vec<_> = placed.iter().filter(|(table, _)| table.is_external && !stopped.has(table.name)).collect();
        if ruled.is_empty() {
            return Self::default();
        }
        Self {
            rulings: Some(rulings(placed.registry, &ruled, &guard)),
            shown: shown(placed, &ruled, guard),
            remembered: Mutex::default(),
        }
    }

    fn recall(&self, claims: &str, basis: &str, tables: &[String]) -> Option<Vec<SumsTuple>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.get(claims).filter(|found| found.basis == basis && found.tables == tables);
        found.map(|found| found.sums.clone())
    }

    fn remember(&self, claims: String, remembered: Remembered) {
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED && !all.contains_key(&claims) {
            all.clear();
        }
        all.insert(claims, remembered);
    }
}

impl PostgresTransaction<'_> {
    /// What holds for the live rows of these scopes, by table; of an application's tables the rows that its policies show.
    pub(super) async fn digest_of(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        let schema = Arc::clone(self.schema);
        let digests = &schema.digests;
        let scopes = list(scopes);
        let Some(rulings) = &digests.rulings else {
            let kept: Vec<SumsTuple> = self.load(statement::<Sums>(KEPT).text(&scopes).text("{}")).await?;
            return Ok(kept.into_iter().map(digest_of).collect());
        };
        let ruled: Vec<(String, String, String, String)> =
            self.load(statement::<(Text, Text, Text, Text)>(rulings).text(&scopes)).await?;
        let of = |is: fn(&str) -> bool| -> Vec<String> {
            ruled.iter().filter(|row| is(&row.1)).map(|row| row.0.clone()).collect()
        };
        let (by_rows, by_more) = (of(|ruling| ruling == ROWS), of(|ruling| ruling != ROWS && ruling != OWNERS));
        let judged = list([by_rows.as_slice(), by_more.as_slice()].concat());
        let mut sums: Vec<SumsTuple> = self.load(statement::<Sums>(KEPT).text(&scopes).text(&judged)).await?;
        if let (false, Some((_, _, claims, basis))) = (by_rows.is_empty(), ruled.first()) {
            let known = match digests.recall(claims, basis, &by_rows) {
                Some(known) => known,
                None => {
                    let found = self.shown(&digests.shown, &scopes, &by_rows).await?;
                    let (basis, tables) = (basis.clone(), by_rows);
                    digests.remember(claims.clone(), Remembered { basis, tables, sums: found.clone() });
                    found
                }
            };
            sums.extend(known);
        }
        if !by_more.is_empty() {
            sums.extend(self.shown(&digests.shown, &scopes, &by_more).await?);
        }
        Ok(sums.into_iter().map(digest_of).collect())
    }

    async fn shown(&mut self, sql: &str, scopes: &str, tables: &[String]) -> Result<Vec<SumsTuple>, StoreError> {
        self.load(statement::<Sums>(sql).text(scopes).text(list(tables))).await
    }
}

/// The live rows of the tables in `?2` in the scopes `?1` that policies show to who asks, added up.
fn shown(placed: Placed<'_>, ruled: &[(&Table, &Place)], guard: impl Fn(&Table) -> Guard) -> String {
    let shown = ruled.iter().map(|(table, place)| {
        let (relation, reads) = (place.relation(), guard(table).reads(placed, table, place, "t"));
        format!(" WHEN '{}' THEN EXISTS (SELECT FROM {relation} t WHERE t.id = c.row_id AND {reads})", table.name)
    });
    let ([p, q], shown) = (Hash::PRIMES, shown.collect::<String>());
    format!(
        "SELECT e.table_name, count(*), sum(e.version)::bigint, \
         mod(sum((e.weight >> 26) * (e.version % {p}) % {p}), {p})::bigint, \
         mod(sum((e.weight & 67108863) * (e.version % {q}) % {q}), {q})::bigint \
         FROM (SELECT n.table_name, n.version, ryzed.weight(n.number) AS weight FROM ( \
         SELECT c.table_name, c.version, ryzed.number_of(c.row_id) AS number FROM ryzed.changes c \
         WHERE c.scope = ANY (?1::text[]) AND c.operation <> 'DELETE' AND c.table_name = ANY (?2::text[]) \
         AND CASE c.table_name{shown} END OFFSET 0) n OFFSET 0) e GROUP BY e.table_name"
    )
}

/// For each table what decides, the claims of who asks, and everything else that a decision by rows and tokens follows from: where
/// the scopes stand and what is kept of them, the policies, the functions that they call.
///
/// A row is hidden with the one that it is a part of, so what decides there decides here. A policy that reads other synced tables
/// is bound by our policies there and sees of them what is in the same scopes, as long as row level security is on.
fn rulings(registry: &Registry, ruled: &[(&Table, &Place)], guard: &impl Fn(&Table) -> Guard) -> String {
    let placed: Vec<String> = ruled
        .iter()
        .map(|(table, place)| {
            let (name, relation) = (literal(table.name), literal(&place.relation()));
            let above: Vec<String> = lineage(registry, table).into_iter().map(literal).collect();
            let is_it = guard(table).takes(table, place);
            format!("({name}, to_regclass({relation})::oid, ARRAY[{}]::text[], {is_it})", above.join(", "))
        })
        .collect();
    let (placed, ours) = (placed.join(", "), POLICIES.map(literal).join(", "));
    format!(
        "WITH RECURSIVE placed AS MATERIALIZED (SELECT p.*, coalesce(row_security_active(p.relation), FALSE) AS has_rls \
         FROM (VALUES {placed}) p (name, relation, above, is_it)), \
         policies AS MATERIALIZED (SELECT p.oid, p.xmin, p.polrelid, p.polpermissive, p.polqual::text AS tree FROM pg_policy p \
         JOIN placed t ON t.relation = p.polrelid AND t.has_rls WHERE p.polcmd IN ('r', '*') AND p.polname NOT IN ({ours}) \
         AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE'))), \
         named AS MATERIALIZED (SELECT p.oid AS policy, (m)[1] AS kind, (m)[2]::oid AS oid FROM policies p, \
         regexp_matches(p.tree, ':(funcid|aggfnoid|winfnoid|opno) ([0-9]+)', 'g') m), \
         called AS MATERIALIZED (SELECT n.policy, f.oid, f.xmin, f.provolatile = 'i' OR (f.provolatile = 's' \
         AND (f.oid IN ('pg_catalog.current_setting(text)'::regprocedure, 'pg_catalog.current_setting(text, boolean)'::regprocedure) \
         OR (f.pronamespace = to_regnamespace('auth') AND f.proname IN ('uid', 'jwt', 'role', 'email') AND f.prosrc <> '' AND f.prosrc !~* '\\mfrom\\M'))) AS by_rows \
         FROM named n JOIN pg_proc f ON f.oid = CASE n.kind WHEN 'opno' THEN (SELECT o.oprcode FROM pg_operator o WHERE o.oid = n.oid) ELSE n.oid END), \
         reads AS MATERIALIZED (SELECT DISTINCT p.oid AS policy, p.polrelid, d.refobjid AS relation FROM policies p JOIN pg_depend d \
         ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid), \
         judged AS MATERIALIZED (SELECT t.name, t.relation, t.has_rls AND (EXISTS (SELECT FROM policies p \
         WHERE p.polrelid = t.relation AND NOT p.polpermissive) OR NOT EXISTS (SELECT FROM pg_policy a WHERE a.polrelid = t.relation \
         AND a.polname = 'ryzed_all' AND pg_get_expr(a.polqual, a.polrelid) = 'true')) AS hides, \
         NOT EXISTS (SELECT FROM policies p WHERE p.polrelid = t.relation AND (p.tree LIKE '%SQLVALUEFUNCTION%' \
         OR EXISTS (SELECT FROM called c WHERE c.policy = p.oid AND NOT c.by_rows) \
         OR EXISTS (SELECT FROM reads r WHERE r.policy = p.oid AND NOT EXISTS (SELECT FROM placed o \
         WHERE o.relation = r.relation AND o.has_rls)))) AS by_rows FROM placed t), \
         reached (root, relation) AS (SELECT t.name, t.relation FROM placed t UNION SELECT n.root, n.relation FROM (SELECT r.root, e.relation \
         FROM reached r JOIN (SELECT polrelid AS behind, relation FROM reads UNION SELECT t.relation, a.relation FROM placed t \
         JOIN placed a ON a.name = ANY (t.above)) e ON e.behind = r.relation) n), \
         basis AS MATERIALIZED (SELECT concat_ws(E'\\n', \
         (SELECT string_agg(concat_ws(' ', s.scope, s.version), ',' ORDER BY s.scope) FROM ryzed.scopes s WHERE s.scope = ANY (?1::text[])), \
         (SELECT string_agg(concat_ws(' ', s.scope, s.table_name, s.rows, s.version_sum, s.hash_p, s.hash_q), ',' ORDER BY s.scope, s.table_name) \
         FROM ryzed.sums s WHERE s.scope = ANY (?1::text[])), \
         (SELECT string_agg(concat_ws(' ', t.name, t.relation, t.has_rls), ',' ORDER BY t.name) FROM placed t), \
         (SELECT string_agg(concat_ws(' ', p.oid, p.xmin), ',' ORDER BY p.oid) FROM policies p), \
         (SELECT string_agg(DISTINCT concat_ws(' ', c.oid, c.xmin), ',') FROM called c)) AS text) \
         SELECT t.name, CASE WHEN NOT (SELECT bool_or(a.hides) FROM judged a WHERE a.name = t.name OR a.name = ANY (t.above)) THEN '{OWNERS}' \
         WHEN (SELECT bool_and(j.by_rows) FROM reached r JOIN judged j ON j.relation = r.relation WHERE r.root = t.name) \
         THEN '{ROWS}' ELSE 'more' END, current_setting('request.jwt.claims', TRUE), md5(b.text) \
         FROM placed t CROSS JOIN basis b WHERE t.is_it"
    )
}

/// The tables that a table's rows are a part of.
fn lineage<'r>(registry: &'r Registry, table: &'r Table) -> Vec<&'r str> {
    let mut above = Vec::new();
    let mut at = Some(table);
    while let Some(parent) = at.and_then(|table| table.scope.parent()) {
        if above.contains(&parent) {
            break;
        }
        above.push(parent);
        at = registry.get(parent);
    }
    above
}
