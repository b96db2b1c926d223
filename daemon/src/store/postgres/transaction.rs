//! Each operation of a transaction as PostgreSQL does it, most of them in one statement.

use std::fmt::Display;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable, Text};
use ryzed_adapters::Table;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::session::PostgresTransaction;
use super::sql::time_out;
use crate::store::statement::statement;
use crate::store::{
    DeviceRow, Entry, OpenConflict, PAGE_BYTES, Range, Records, RowState, Rows, ScopeState, StoreError, Transaction,
};
use crate::sync::wire::TableDigest;
use crate::sync::{ChangeRecord, DeviceId, Operation, RowId, Scope, UserId, Version};

type Maybe = Nullable<Text>;

#[async_trait]
impl Transaction for PostgresTransaction<'_> {
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        let rows: Vec<(String, i64, i64, String)> = self
            .load(
                statement::<(Text, BigInt, BigInt, Text)>(
                    "SELECT i.scope, coalesce(s.version, 0), coalesce(s.floor, 0), \
                     coalesce(to_char(s.changed_at AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '') \
                     FROM unnest(?1::text[]) WITH ORDINALITY i (scope, place) \
                     LEFT JOIN ryzed.scopes s ON s.scope = i.scope ORDER BY i.place",
                )
                .text(&list(scopes)),
            )
            .await?;
        let states = rows.into_iter().filter_map(|(scope, version, floor, changed_at)| {
            Some(ScopeState { scope: scope.parse().ok()?, version, floor, changed_at })
        });
        Ok(states.collect())
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        let touch = "SELECT ryzed.touch(?1::text[], ?2::timestamptz)";
        self.run(statement(touch).text(&list(scopes)).text(now)).await?;
        Ok(())
    }

    async fn states(&mut self, table: &Table, ids: &[RowId], scopes: &[Scope]) -> Result<Vec<RowState>, StoreError> {
        type Row =
            (String, Option<String>, Option<String>, Option<i64>, Option<String>, Option<String>, Option<String>);
        let schema = Arc::clone(self.schema);
        let rows: Vec<Row> = self
            .load(
                statement::<(Text, Maybe, Maybe, Nullable<BigInt>, Maybe, Maybe, Maybe)>(&schema.of(table)?.states)
                    .text(&ids_of(ids))
                    .text(&list(scopes)),
            )
            .await?;
        let states = rows.into_iter().filter(|row| row.1.is_some() || row.2.is_some()).map(
            |(id, row, scope, version, operation, field_versions, previous)| {
                let operation = operation.as_deref().and_then(Operation::of).unwrap_or(Operation::Insert);
                let previous = previous.filter(|previous| previous != "{}");
                RowState {
                    id: id.into(),
                    row,
                    scope: scope.and_then(|scope| scope.parse().ok()),
                    version: version.unwrap_or(0),
                    operation,
                    field_versions: field_versions.unwrap_or_else(|| "{}".into()),
                    previous: previous.map_or_else(|| "{}".into(), |previous| travelling(table, operation, &previous)),
                }
            },
        );
        Ok(states.collect())
    }

    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError> {
        let rows: Vec<(String, String)> = self
            .load(
                statement::<(Text, Text)>(
                    "SELECT i.id::text, c.scope FROM unnest(?2::uuid[]) i (id) CROSS JOIN LATERAL (SELECT c.scope \
                     FROM ryzed.changes c WHERE c.table_name = ?1 AND c.row_id = i.id AND c.operation <> 'DELETE' LIMIT 1) c \
                     UNION ALL SELECT row_id::text, scope FROM ryzed.elsewhere(?1, ?2::uuid[])",
                )
                .text(table)
                .text(&ids_of(ids)),
            )
            .await?;
        Ok(rows.into_iter().filter_map(|(id, scope)| Some((id.into(), scope.parse().ok()?))).collect())
    }

    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        self.on_behalf_of(device);
        self.try_run(statement(&schema.of(table)?.upsert).text(rows)).await?;
        Ok(())
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        self.on_behalf_of(device);
        self.run(statement(&schema.of(table)?.delete).text(&ids_of(ids))).await?;
        Ok(())
    }

    async fn versions(
        &mut self,
        table: &str,
        ids: &[RowId],
        scopes: &[Scope],
    ) -> Result<Vec<(RowId, Version)>, StoreError> {
        let rows: Vec<(String, i64)> = self
            .load(
                statement::<(Text, BigInt)>(
                    "SELECT i.id::text, c.version FROM unnest(?2::uuid[]) i (id) CROSS JOIN LATERAL (SELECT max(c.version) \
                     AS version FROM ryzed.changes c WHERE c.table_name = ?1 AND c.row_id = i.id \
                     AND c.scope = ANY (?3::text[])) c WHERE c.version IS NOT NULL",
                )
                .text(table)
                .text(&ids_of(ids))
                .text(&list(scopes)),
            )
            .await?;
        Ok(rows.into_iter().map(|(id, version)| (id.into(), version)).collect())
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        self.on_behalf_of(None);
        self.run(
            statement(
                "INSERT INTO public.users (id, email, created_at, updated_at) SELECT ?1::uuid, ?2, ?3::timestamptz, ?3::timestamptz \
                 WHERE NOT EXISTS (SELECT FROM public.users WHERE id = ?1::uuid) ON CONFLICT (id) DO NOTHING",
            )
            .text(&user.to_string())
            .maybe(email)
            .text(now),
        )
        .await?;
        Ok(())
    }

    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<(i64, String, String, String)> = self
            .load(
                statement::<(BigInt, Text, Text, Text)>(
                    "SELECT version, table_name, row_id::text, operation FROM ryzed.changes WHERE scope = ?1 \
                     AND version > ?2 AND (?3 = '{}' OR table_name = ANY (?3::text[])) ORDER BY version LIMIT ?4",
                )
                .text(&scope.to_string())
                .int(after)
                .text(&list(tables))
                .int(limit),
            )
            .await?;
        let entries = rows.into_iter().map(|(version, table, id, operation)| Entry {
            version,
            table: self.schema.registry.get(&table).map(|table| table.name),
            id: id.into(),
            operation: Operation::of(&operation).unwrap_or(Operation::Update),
        });
        Ok(entries.collect())
    }

    async fn rows(&mut self, table: &Table, scope: Scope, range: Range) -> Result<Rows, StoreError> {
        let schema = Arc::clone(self.schema);
        let scope = scope.to_string();
        let wanted = statement(&schema.of(table)?.rows).text(&scope).int(range.after).int(range.upto);
        let (rows, is_whole) = self.load_some(wanted, range.bytes).await?;
        let cut = if is_whole { None } else { rows.last().map(|(version, _)| *version) };
        Ok(Rows { rows, cut })
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        type Row = (i64, String, String, String, Option<String>, Option<String>);
        // What the latest version changed, with its former values; of a tombstone the former row.
        let rows: Vec<Row> = self
            .load(
                statement::<(BigInt, Text, Text, Text, Maybe, Maybe)>(
                    "SELECT version, table_name, row_id::text, operation, source_device, CASE operation \
                     WHEN 'DELETE' THEN previous::text \
                     WHEN 'UPDATE' THEN (jsonb_build_object('id', row_id) || coalesce((SELECT \
                         jsonb_object_agg(f.key, previous -> f.key -> -1 -> 1) FROM jsonb_each(field_versions) f \
                         WHERE f.value = to_jsonb(version) AND f.key <> '*'), '{}'))::text END \
                     FROM ryzed.changes WHERE scope = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
                )
                .text(&scope.to_string())
                .int(after)
                .int(limit),
            )
            .await?;
        let has_more = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
        let upto = rows.last().map_or(after, |row| row.0);
        let mut records = Vec::with_capacity(rows.len());
        for (version, table, id, operation, device, old) in rows {
            let Some(table) = self.schema.registry.get(&table) else { continue };
            records.push(ChangeRecord {
                scope,
                version,
                table: table.name,
                operation: Operation::of(&operation).unwrap_or(Operation::Update),
                id: id.into(),
                source_device: device.and_then(|device| device.parse().ok()),
                row: None,
                old: old.map(|old| raw(travelling(table, Operation::Delete, &old))).transpose()?,
            });
        }
        let cut = self.fill(scope, Range { after, upto, bytes: PAGE_BYTES }, &mut records).await?;
        if let Some(cut) = cut {
            records.retain(|record| record.version <= cut);
        }
        Ok(Records { records, reached: cut.unwrap_or(upto), has_more: has_more || cut.is_some() })
    }

    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError> {
        let scope = scope.to_string();
        self.number(
            statement(
                "SELECT version FROM ryzed.changes WHERE scope = ?1 AND changed_at < ?2::timestamptz \
                 ORDER BY version DESC LIMIT 1",
            )
            .text(&scope)
            .text(time),
        )
        .await
    }

    async fn count_after(&mut self, scope: Scope, after: Version) -> Result<i64, StoreError> {
        let scope = scope.to_string();
        let count = "SELECT count(*) FROM ryzed.changes WHERE scope = ?1 AND version > ?2";
        self.number(statement(count).text(&scope).int(after)).await
    }

    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        let rows: Vec<(String, i64, i64)> = self
            .load(
                statement::<(Text, BigInt, BigInt)>(
                    "SELECT table_name, count(*), sum(version)::bigint FROM ryzed.changes \
                     WHERE scope = ANY (?1::text[]) AND operation <> 'DELETE' GROUP BY table_name",
                )
                .text(&list(scopes)),
            )
            .await?;
        Ok(rows.into_iter().map(|(table, rows, version_sum)| (table, TableDigest { rows, version_sum })).collect())
    }

    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Vec<(Uuid, String)>, StoreError> {
        let rows: Vec<(String, String)> = self
            .load(
                statement::<(Text, Text)>(
                    "SELECT mutation_id::text, result::text FROM ryzed.receipts WHERE user_id = ?1::uuid \
                     AND mutation_id = ANY (?2::uuid[])",
                )
                .text(&user.to_string())
                .text(&list(mutations)),
            )
            .await?;
        Ok(rows.into_iter().filter_map(|(id, result)| Some((Uuid::try_parse(&id).ok()?, result))).collect())
    }

    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError> {
        let results: Vec<Value> = receipts.iter().map(|(_, result)| Value::from(result.as_str())).collect();
        let (ids, results) = (list(receipts.iter().map(|(id, _)| id)), Value::from(results).to_string());
        self.run(
            statement(
                "INSERT INTO ryzed.receipts (user_id, mutation_id, result, created_at) \
                 SELECT ?1::uuid, r.id, r.result::json, ?4::timestamptz \
                 FROM ROWS FROM (unnest(?2::uuid[]), json_array_elements_text(?3::json)) AS r (id, result) \
                 ON CONFLICT DO NOTHING",
            )
            .text(&user.to_string())
            .text(&ids)
            .text(&results)
            .text(now),
        )
        .await?;
        Ok(())
    }

    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        let sql = format!("{} WHERE user_id = ?1::uuid ORDER BY first_seen, device_id", devices());
        let rows = self.load(statement::<DeviceColumns>(&sql).text(&user.to_string())).await?;
        Ok(rows.into_iter().filter_map(device_of).collect())
    }

    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        let sql = format!("{} WHERE user_id = ?1::uuid AND device_id = ?2", devices());
        let rows = self.load(statement::<DeviceColumns>(&sql).text(&user.to_string()).text(device.as_str())).await?;
        Ok(rows.into_iter().find_map(device_of))
    }

    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError> {
        self.run(
            statement(
                "INSERT INTO ryzed.devices (user_id, device_id, device_type, app_version, name, first_seen, last_seen, \
                 last_sync, pending_uploads, cursor, revoked_at) VALUES (?1::uuid, ?2, ?3, ?4, ?5, ?6::timestamptz, \
                 ?7::timestamptz, ?8::timestamptz, ?9, ?10::jsonb, ?11::timestamptz) ON CONFLICT (user_id, device_id) \
                 DO UPDATE SET device_type = excluded.device_type, app_version = excluded.app_version, name = excluded.name, \
                 first_seen = excluded.first_seen, last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 pending_uploads = excluded.pending_uploads, cursor = excluded.cursor, revoked_at = excluded.revoked_at",
            )
            .text(&user.to_string())
            .text(device.id.as_str())
            .maybe(device.device_type.as_deref())
            .maybe(device.app_version.as_deref())
            .maybe(device.name.as_deref())
            .text(&device.first_seen)
            .text(&device.last_seen)
            .maybe(device.last_sync.as_deref())
            .int(device.pending_uploads)
            .maybe(device.cursor.as_deref())
            .maybe(device.revoked_at.as_deref()),
        )
        .await?;
        Ok(())
    }

    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError> {
        let user = user.map(|user| user.to_string());
        let count =
            "SELECT count(*) FROM ryzed.devices WHERE (?1 IS NULL OR user_id = ?1::uuid) AND revoked_at IS NULL";
        self.number(statement(count).maybe(user.as_deref())).await
    }

    async fn conflicts(&mut self, user: UserId, id: Option<Uuid>) -> Result<Vec<OpenConflict>, StoreError> {
        let id = id.map(|id| id.to_string());
        let rows: Vec<(String, String, String)> = self
            .load(
                statement::<(Text, Text, Text)>(
                    "SELECT id::text, conflict::text, mutation::text FROM ryzed.conflicts WHERE user_id = ?1::uuid \
                     AND (?2 IS NULL OR id = ?2::uuid) ORDER BY created_at, id",
                )
                .text(&user.to_string())
                .maybe(id.as_deref()),
            )
            .await?;
        let open = rows.into_iter().filter_map(|(id, conflict, mutation)| {
            Some(OpenConflict { id: Uuid::try_parse(&id).ok()?, conflict, mutation })
        });
        Ok(open.collect())
    }

    async fn keep_conflict(&mut self, user: UserId, conflict: &OpenConflict, now: &str) -> Result<(), StoreError> {
        self.run(
            statement(
                "INSERT INTO ryzed.conflicts (id, user_id, created_at, conflict, mutation) \
                 VALUES (?1::uuid, ?2::uuid, ?3::timestamptz, ?4::json, ?5::json)",
            )
            .text(&conflict.id.to_string())
            .text(&user.to_string())
            .text(now)
            .text(&conflict.conflict)
            .text(&conflict.mutation),
        )
        .await?;
        Ok(())
    }

    async fn drop_conflict(&mut self, user: UserId, id: Uuid) -> Result<(), StoreError> {
        let (user, id) = (user.to_string(), id.to_string());
        let drop = "DELETE FROM ryzed.conflicts WHERE user_id = ?1::uuid AND id = ?2::uuid";
        self.run(statement(drop).text(&user).text(&id)).await?;
        Ok(())
    }

    async fn prune_tombstones(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        let prune = "SELECT ryzed.prune_tombstones(?1::timestamptz, ?2)";
        let gone = self.number(statement(prune).text(before).int(limit)).await?;
        Ok(usize::try_from(gone).unwrap_or_default())
    }

    async fn prune_receipts(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM ryzed.receipts WHERE (user_id, mutation_id) IN (SELECT user_id, mutation_id FROM ryzed.receipts \
                 WHERE created_at < ?1::timestamptz ORDER BY created_at LIMIT ?2 FOR UPDATE SKIP LOCKED)",
            )
            .text(before)
            .int(limit),
        )
        .await
    }

    async fn prune_devices(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM ryzed.devices WHERE (user_id, device_id) IN (SELECT user_id, device_id FROM ryzed.devices \
                 WHERE last_seen < ?1::timestamptz AND revoked_at IS NULL ORDER BY last_seen LIMIT ?2 FOR UPDATE SKIP LOCKED)",
            )
            .text(before)
            .int(limit),
        )
        .await
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.number(statement("SELECT 1::bigint")).await.map(|_| ())
    }
}

impl PostgresTransaction<'_> {
    /// Reads the rows of all records at once, a statement a table. Returns where it had to stop.
    async fn fill(
        &mut self,
        scope: Scope,
        range: Range,
        records: &mut [ChangeRecord],
    ) -> Result<Option<Version>, StoreError> {
        let schema = Arc::clone(self.schema);
        let mut cut: Option<Version> = None;
        for table in schema.registry.iter() {
            let is_live = |record: &ChangeRecord| record.table == table.name && record.operation != Operation::Delete;
            if !records.iter().any(is_live) {
                continue;
            }
            let found = self.rows(table, scope, range).await?;
            cut = [cut, found.cut].into_iter().flatten().min();
            for (version, row) in found.rows {
                if let Ok(at) = records.binary_search_by_key(&version, |record| record.version) {
                    records[at].row = Some(raw(row)?);
                }
            }
        }
        Ok(cut)
    }
}

type DeviceColumns = (Text, Maybe, Maybe, Maybe, Text, Text, Maybe, BigInt, Maybe, Maybe);
type DeviceTuple = (
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    String,
    Option<String>,
    i64,
    Option<String>,
    Option<String>,
);

fn devices() -> String {
    let [first_seen, last_seen, last_sync, revoked_at] =
        ["first_seen", "last_seen", "last_sync", "revoked_at"].map(time_out);
    format!(
        "SELECT device_id, device_type, app_version, name, {first_seen}, {last_seen}, {last_sync}, pending_uploads, \
         cursor::text, {revoked_at} FROM ryzed.devices"
    )
}

fn device_of(row: DeviceTuple) -> Option<DeviceRow> {
    let (id, device_type, app_version, name, first_seen, last_seen, last_sync, pending_uploads, cursor, revoked_at) =
        row;
    let id = id.parse().ok()?;
    Some(DeviceRow {
        id,
        device_type,
        app_version,
        name,
        first_seen,
        last_seen,
        last_sync,
        pending_uploads,
        cursor,
        revoked_at,
    })
}

/// Former values as they travel. The index keeps them as the trigger found them, in the database's own forms.
fn travelling(table: &Table, operation: Operation, previous: &str) -> String {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(previous) else { return previous.to_owned() };
    for (name, value) in &mut fields {
        let Some(column) = table.column(name) else { continue };
        let form = |value: &mut Value| {
            if let Some(canonical) = column.kind.canonical(value.clone()) {
                *value = canonical;
            }
        };
        match value {
            Value::Array(history) if operation != Operation::Delete => {
                history.iter_mut().filter_map(|entry| entry.get_mut(1)).for_each(form);
            }
            value => form(value),
        }
    }
    Value::Object(fields).to_string()
}

/// An array of names that need no quotes: ids, scopes, tables.
fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("{{{}}}", items.join(","))
}

/// What is no UUID names no row.
fn ids_of(ids: &[RowId]) -> String {
    list(ids.iter().filter_map(|id| Uuid::try_parse(id.as_str()).ok()))
}

fn raw(json: String) -> Result<Box<RawValue>, StoreError> {
    RawValue::from_string(json).map_err(|error| StoreError::Failed(format!("the database made no JSON: {error}")))
}
