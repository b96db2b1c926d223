//! The statements of the reads that a push makes, apart from their use, so that they can be sent before they are asked for.

use std::fmt::Display;

use diesel::sql_types::{BigInt, Nullable, Text};
use ryzed_adapters::Table;
use uuid::Uuid;

use super::Schema;
use super::sql::time_out;
use crate::store::decode::{DeviceColumns, EntryColumns, ScopeColumns, StateColumns};
use crate::store::statement::{Statement, statement};
use crate::store::{Passed, StoreError};
use crate::sync::{DeviceId, RowId, Scope, UserId, Version};

type Maybe = Nullable<Text>;

/// Version, table, id, operation, device, former values, row.
pub(super) type RecordColumns = (BigInt, Text, Text, Text, Maybe, Maybe, Maybe);

pub(super) fn scopes(scopes: &[Scope]) -> Statement<'static, ScopeColumns> {
    statement(
        "SELECT i.scope, coalesce(s.version, 0), coalesce(s.floor, 0), \
         coalesce(to_char(s.changed_at AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '') \
         FROM unnest(?1::text[]) WITH ORDINALITY i (scope, place) \
         LEFT JOIN ryzed.scopes s ON s.scope = i.scope ORDER BY i.place",
    )
    .text(list(scopes))
}

pub(super) fn states<'s>(
    schema: &'s Schema,
    table: &Table,
    ids: &[RowId],
    scopes: &[Scope],
) -> Result<Statement<'s, StateColumns>, StoreError> {
    Ok(statement(&schema.of(table)?.states).text(ids_of(ids)).text(list(scopes)))
}

pub(super) fn owners<'s>(
    schema: &'s Schema,
    table: &str,
    ids: &[RowId],
) -> Result<Statement<'s, (Text, Text)>, StoreError> {
    let table = schema.registry.get(table).ok_or_else(|| StoreError::Failed(format!("no table {table}")))?;
    Ok(statement(&schema.of(table)?.owners).text(ids_of(ids)))
}

/// The columns of each unique or excluding index of a relation but its primary key, as JSON, those of expressions included.
pub(super) fn unique(relation: &str) -> Statement<'_, Text> {
    statement(
        "SELECT (SELECT json_agg(a.attname)::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 \
         AND (a.attnum = ANY (i.indkey::int2[]) OR EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass \
         AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))) \
         FROM pg_catalog.pg_index i WHERE i.indrelid = to_regclass(?1) AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary",
    )
    .text(relation)
}

/// The ids of these rows that exist, whatever policies show.
pub(super) fn standing<'s>(table: &'s str, ids: &[RowId]) -> Statement<'s, Text> {
    statement(
        "SELECT i.id::text FROM unnest(?2::uuid[]) i (id) WHERE EXISTS (SELECT FROM ryzed.changes c \
         WHERE c.table_name = ?1 AND c.row_id = i.id AND c.operation <> 'DELETE')",
    )
    .text(table)
    .text(ids_of(ids))
}

pub(super) fn entries(scope: Scope, after: Version, tables: &[&str], limit: i64) -> Statement<'static, EntryColumns> {
    statement(
        "SELECT version, table_name, row_id::text, operation FROM ryzed.changes WHERE scope = ?1 \
         AND version > ?2 AND (?3 = '{}' OR table_name = ANY (?3::text[])) ORDER BY version LIMIT ?4",
    )
    .text(scope.to_string())
    .int(after)
    .text(list(tables))
    .int(limit)
}

/// `sql` is one of those for records.
pub(super) fn records(sql: &str, scope: Scope, after: Version, limit: i64) -> Statement<'_, RecordColumns> {
    statement(sql).text(scope.to_string()).int(after).int(limit)
}

/// Receipts, and in a row without an id how many there are. Those of older releases may hold whole rows and thousands of
/// errors; of them only what is still kept of any is read.
pub(super) fn receipts(user: UserId, mutations: &[Uuid]) -> Statement<'static, (Text, Text)> {
    statement(
        "SELECT mutation_id::text, CASE WHEN length(r.text) < 16384 THEN r.text ELSE (SELECT json_build_object('result', \
         json_build_object('mutation_id', x -> 'mutation_id', 'status', x -> 'status', 'table', x -> 'table', 'id', x -> 'id', \
         'version', x -> 'version', 'errors', coalesce((SELECT json_agg(e) FROM (SELECT e FROM \
         json_array_elements(x -> 'errors') e LIMIT 20) e), '[]')), 'conflict', CASE WHEN y IS NOT NULL THEN \
         json_build_object('conflict_id', y -> 'conflict_id', 'strategy', y -> 'strategy', 'fields', \
         (SELECT json_agg(f -> 'field') FROM json_array_elements(y -> 'fields') f)) END)::text \
         FROM (SELECT r.result -> 'result' AS x, r.result -> 'conflict' AS y) parts) END \
         FROM unnest(?2::uuid[]) i (id) CROSS JOIN LATERAL (SELECT *, r.result::text AS text \
         FROM ryzed.receipts r WHERE r.user_id = ?1::uuid AND r.mutation_id = i.id OFFSET 0) r \
         UNION ALL SELECT '', coalesce((SELECT count FROM ryzed.counts WHERE kind = 'receipts' AND whose = ?1), 0)::text",
    )
    .text(user.to_string())
    .text(list(mutations))
}

pub(super) fn device<'s>(schema: &'s Schema, user: UserId, device: &'s DeviceId) -> Statement<'s, DeviceColumns> {
    statement(&schema.device).text(user.to_string()).text(device.as_str())
}

/// Selects devices; the condition is to follow.
pub(super) fn devices(condition: &str) -> String {
    let [first_seen, last_seen, last_sync, revoked_at] =
        ["first_seen", "last_seen", "last_sync", "revoked_at"].map(time_out);
    format!(
        "SELECT device_id, device_type, app_version, name, {first_seen}, {last_seen}, {last_sync}, pending_uploads, \
         cursor::text, {revoked_at} FROM ryzed.devices WHERE {condition}"
    )
}

/// An array of names that need no quotes: ids, scopes, tables.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("{{{}}}", items.join(","))
}

/// The ids as an array; those that are no UUIDs, which name no row, are left out.
pub(super) fn ids_of(ids: &[RowId]) -> String {
    list(ids.iter().filter_map(|id| Uuid::try_parse(id.as_str()).ok()))
}

/// Notes what somebody is not given of stopped tables.
pub(super) fn passing(passed: &Passed) -> Statement<'static> {
    statement(
        "INSERT INTO ryzed.passed AS p (table_name, scope, after) SELECT c.table_name, c.scope, min(c.version) - 1 \
         FROM ryzed.changes c WHERE c.scope = ?1 AND c.version > ?2 AND c.version <= ?3 AND c.table_name = ANY (?4::text[]) \
         GROUP BY c.table_name, c.scope ON CONFLICT (table_name, scope) DO UPDATE SET after = excluded.after \
         WHERE excluded.after < p.after",
    )
    .text(passed.scope.to_string())
    .int(passed.after)
    .int(passed.upto)
    .text(list(passed.tables.iter()))
}

/// The tables of which entries in these scopes are still to be sent.
pub(super) fn untold(scopes: &[Scope]) -> Statement<'static, Text> {
    statement("SELECT DISTINCT table_name FROM ryzed.passed WHERE scope = ANY (?1::text[])").text(list(scopes))
}
