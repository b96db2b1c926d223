//! The statements that read, apart from what is made of their answers.

use diesel::sql_types::{BigInt, Nullable, Text};
use ryzed_adapters::Table;
use serde::Serialize;
use uuid::Uuid;

use super::Schema;
use crate::store::combine::Span;
use crate::store::decode::{DeviceColumns, EntryColumns, ScopeColumns, StateColumns};
use crate::store::statement::{Statement, statement};
use crate::store::{Range, StoreError};
use crate::sync::{DeviceId, RowId, Scope, UserId, Version};

type Maybe = Nullable<Text>;

/// Place of the span, version, table, id, operation, device, former values.
type RecordColumns = (BigInt, BigInt, Text, Text, Text, Maybe, Maybe);

pub(super) fn scopes(scopes: &[Scope]) -> Statement<'static, ScopeColumns> {
    statement(
        "SELECT i.value, coalesce(s.version, 0), coalesce(s.floor, 0), coalesce(s.changed_at, '') \
         FROM json_each(?1) i LEFT JOIN sync_scopes s ON s.scope = i.value ORDER BY i.key",
    )
    .text(json(&scopes))
}

pub(super) fn states<'s>(
    schema: &'s Schema,
    table: &Table,
    ids: &[RowId],
    scopes: &[Scope],
) -> Result<Statement<'s, StateColumns>, StoreError> {
    Ok(statement(&schema.of(table)?.states).text(json(&ids)).text(json(&scopes)))
}

pub(super) fn owners<'s>(table: &'s str, ids: &[RowId]) -> Statement<'s, (Text, Text)> {
    statement(
        "SELECT row_id, scope FROM sync_changes WHERE table_name = ?1 AND row_id IN (SELECT value FROM json_each(?2)) \
         AND operation <> 'DELETE'",
    )
    .text(table)
    .text(json(&ids))
}

pub(super) fn entries(scope: Scope, after: Version, tables: &[&str], limit: i64) -> Statement<'static, EntryColumns> {
    statement(
        "SELECT version, table_name, row_id, operation FROM sync_changes WHERE scope = ?1 AND version > ?2 \
         AND (?3 = '[]' OR table_name IN (SELECT value FROM json_each(?3))) ORDER BY version LIMIT ?4",
    )
    .text(scope.to_string())
    .int(after)
    .text(json(&tables))
    .int(limit)
}

/// Everything behind the version of each span: the span's place, and the columns of [`entries`].
pub(super) fn all_entries(spans: &[Span]) -> Statement<'static, (BigInt, BigInt, Text, Text, Text)> {
    statement(
        "SELECT i.key, c.version, c.table_name, c.row_id, c.operation FROM json_each(?1) i CROSS JOIN sync_changes c \
         WHERE c.scope = i.value ->> 0 AND c.version > i.value ->> 1 ORDER BY i.key, c.version",
    )
    .text(json(&spans))
}

/// The rows in a range, read row by row.
pub(super) fn rows<'s>(
    schema: &'s Schema,
    table: &Table,
    scope: Scope,
    range: Range,
) -> Result<Statement<'s, (BigInt, Text)>, StoreError> {
    Ok(statement(&schema.of(table)?.rows).text(scope.to_string()).int(range.after).int(range.upto))
}

/// The rows of a table that changed behind the version of each span: the span's place, version, row.
pub(super) fn all_rows<'s>(
    schema: &'s Schema,
    table: &Table,
    spans: &[Span],
) -> Result<Statement<'s, (BigInt, BigInt, Text)>, StoreError> {
    Ok(statement(&schema.of(table)?.all_rows).text(json(&spans)))
}

/// The changes behind the version of each span, at most `limit` in all (a negative one is none): the span's place, the
/// entry, and the columns changed by the latest version, with their former values; of a tombstone the former row. Of
/// more than 16 KiB of those there is the id alone.
pub(super) fn records(spans: &[Span], limit: i64) -> Statement<'static, RecordColumns> {
    statement(
        "SELECT span, version, table_name, row_id, operation, source_device, \
         iif(length(old) > 16384, json_object('id', row_id), old) FROM (SELECT i.key AS span, version, table_name, row_id, \
         operation, source_device, CASE operation WHEN 'DELETE' THEN previous \
         WHEN 'UPDATE' THEN (SELECT json_group_object(key, json(value)) FROM (SELECT 'id' AS key, json_quote(row_id) AS value \
             UNION ALL SELECT f.key, json_extract(previous -> f.key, '$[#-1]') -> 1 \
             FROM json_each(field_versions) f WHERE f.value = version AND f.key <> '*' \
             AND json_array_length(previous -> f.key) > 0)) END AS old \
         FROM json_each(?1) i CROSS JOIN sync_changes WHERE scope = i.value ->> 0 AND version > i.value ->> 1 \
         ORDER BY i.key, version LIMIT ?2)",
    )
    .text(json(&spans))
    .int(limit)
}

/// Halves the versions until the last one is found whose time is before `time`: within a scope, times never run backwards.
pub(super) fn version_before(scope: Scope, time: &str) -> Statement<'_, BigInt> {
    statement(
        "WITH RECURSIVE found (low, high) AS (SELECT 0, coalesce((SELECT max(version) FROM sync_changes WHERE scope = ?1), 0) \
         UNION ALL SELECT iif(c.changed_at < ?2, c.version, low), iif(c.changed_at < ?2, high, (low + high + 1) / 2 - 1) \
         FROM found LEFT JOIN sync_changes c ON c.scope = ?1 AND c.version = (SELECT version FROM sync_changes \
             WHERE scope = ?1 AND version >= (low + high + 1) / 2 AND version <= high ORDER BY version LIMIT 1) \
         WHERE low < high) \
         SELECT max(low) FROM found",
    )
    .text(scope.to_string())
    .text(time)
}

/// The number of entries after a version, counted up to `most`.
pub(super) fn count_after(scope: Scope, after: Version, most: i64) -> Statement<'static, BigInt> {
    statement("SELECT count(*) FROM (SELECT 1 FROM sync_changes WHERE scope = ?1 AND version > ?2 LIMIT ?3)")
        .text(scope.to_string())
        .int(after)
        .int(most)
}

/// Receipts of people with their mutations, and in a row without an id how many there are of the person. Those of older
/// releases may hold whole rows and thousands of errors; of them only what is still kept of any is read.
pub(super) fn receipts(wanted: &[(UserId, Vec<Uuid>)]) -> Statement<'static, (BigInt, Text, Text)> {
    statement(
        "SELECT i.key, mutation_id, iif(length(result) < 16384, result, json_object('result', json_set(result -> '$.result', '$.errors', \
         (SELECT json_group_array(json(e.value)) FROM (SELECT value FROM json_each(result, '$.result.errors') LIMIT 20) e)), \
         'conflict', iif(result -> '$.conflict' IS NULL, NULL, json_object('conflict_id', result ->> '$.conflict.conflict_id', \
         'strategy', result ->> '$.conflict.strategy', 'fields', (SELECT json_group_array(f.value ->> '$.field') \
         FROM json_each(result, '$.conflict.fields') f))))) \
         FROM json_each(?1) i CROSS JOIN json_each(i.value, '$[1]') m CROSS JOIN sync_receipts \
         WHERE user_id = i.value ->> 0 AND mutation_id = m.value \
         UNION ALL SELECT i.key, '', coalesce((SELECT count FROM sync_counts WHERE kind = 'receipts' AND whose = i.value ->> 0), 0) \
         FROM json_each(?1) i",
    )
    .text(json(&wanted))
}

/// All devices of a person, or this one.
pub(super) fn devices(user: UserId, device: Option<&DeviceId>) -> Statement<'_, DeviceColumns> {
    statement(
        "SELECT device_id, device_type, app_version, name, first_seen, last_seen, last_sync, pending_uploads, \
         cursor, revoked_at FROM sync_devices WHERE user_id = ?1 AND (?2 IS NULL OR device_id = ?2) \
         ORDER BY first_seen, device_id",
    )
    .text(user.to_string())
    .maybe(device.map(DeviceId::as_str))
}

/// Each of these devices that is known: its place among them, and the columns of [`devices`].
pub(super) fn all_devices(wanted: &[(UserId, DeviceId)]) -> Statement<'static, (BigInt, DeviceColumns)> {
    statement(
        "SELECT i.key, device_id, device_type, app_version, name, first_seen, last_seen, last_sync, pending_uploads, \
         cursor, revoked_at FROM json_each(?1) i CROSS JOIN sync_devices WHERE user_id = i.value ->> 0 AND device_id = i.value ->> 1",
    )
    .text(json(&wanted))
}

/// The number of devices of a person, or of all, that are not revoked.
pub(super) fn count_devices(user: Option<&str>) -> Statement<'_, BigInt> {
    match user {
        Some(user) => {
            statement("SELECT count(*) FROM sync_devices WHERE user_id = ?1 AND revoked_at IS NULL").text(user)
        }
        None => statement("SELECT count FROM sync_counts WHERE kind = 'devices' AND whose = ''"),
    }
}

/// A list as the JSON that `json_each` takes apart. Ids, scopes and names always have a JSON form.
pub(super) fn json<T: Serialize>(list: &T) -> String {
    serde_json::to_string(list).unwrap_or_else(|_| "[]".into())
}
