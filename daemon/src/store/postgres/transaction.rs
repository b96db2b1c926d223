//! Each operation of a transaction as PostgreSQL does it, most of them in one statement.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::Table;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::form::Form;
use super::reads::{self, DeviceColumns, ids_of, list};
use super::session::PostgresTransaction;
use crate::store::answer::device_of;
use crate::store::presence::Presence;
use crate::store::statement::statement;
use crate::store::{
    DeviceRow, Entry, OpenConflict, Passed, Range, Read, Records, Rights, RowState, Rows, ScopeState, Stopped,
    StoreError, Transaction,
};
use crate::sync::wire::TableDigest;
use crate::sync::{DeviceId, Operation, RowId, Scope, UserId, Version};

/// Parts JSON texts: JSON has no such character outside of an escape. An array of texts would have each taken apart twice.
const SEPARATOR: &str = "\x1e";

#[async_trait]
impl Transaction for PostgresTransaction<'_> {
    async fn foresee(&mut self, wanted: &[Read<'_>]) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let mut fetching = Vec::with_capacity(wanted.len());
        for read in wanted {
            fetching.extend(match *read {
                Read::Scopes(scopes) => self.expected(reads::scopes(scopes)),
                Read::States(table, ids, scopes) => self.expected(reads::states(&schema, table, ids, scopes)?),
                Read::Owners(table, _) if schema.stopped.has(table) => None,
                Read::Owners(table, ids) => self.expected(reads::owners(&schema, table, ids)?),
                Read::Entries(scope, after, tables, limit) => {
                    self.expected(reads::entries(scope, after, tables, limit))
                }
                Read::Records(scope, after, limit) => {
                    self.expected(reads::records(self.likely_records(&schema), scope, after, limit))
                }
                Read::Receipts(user, mutations) => self.expected(reads::receipts(user, mutations)),
                Read::Device(user, device) => self.expected(reads::device(&schema, user, device)),
            });
        }
        self.fetch(fetching).await
    }

    fn presence(&mut self) -> Option<&mut dyn Presence> {
        self.wait_shortly();
        Some(self)
    }

    fn stopped(&self) -> Arc<Stopped> {
        Arc::clone(&self.schema.stopped)
    }

    fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    fn rights(&self, table: &str) -> Option<Rights> {
        self.schema.layout.of(table)?.rights()
    }

    async fn pass_over(&mut self, passed: &[Passed]) -> Result<(), StoreError> {
        for passed in passed {
            self.run_ahead(reads::passing(passed)).await?;
        }
        Ok(())
    }

    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        let rows: Vec<(String, i64, i64, String)> = self.load(reads::scopes(scopes)).await?;
        let states = rows.into_iter().filter_map(|(scope, version, floor, changed_at)| {
            Some(ScopeState { scope: scope.parse().ok()?, version, floor, changed_at })
        });
        Ok(states.collect())
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        let touch = "SELECT ryzed.touch(?1::text[], ?2::timestamptz)";
        self.run_ahead(statement(touch).text(list(scopes)).text(now)).await
    }

    async fn states(&mut self, table: &Table, ids: &[RowId], scopes: &[Scope]) -> Result<Vec<RowState>, StoreError> {
        type Row =
            (String, Option<String>, Option<String>, Option<i64>, Option<String>, Option<String>, Option<String>);
        let schema = Arc::clone(self.schema);
        let rows: Vec<Row> = self.load(reads::states(&schema, table, ids, scopes)?).await?;
        let form = Form::of(&schema, table);
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
                    field_versions: field_versions.map_or_else(|| "{}".into(), |versions| form.renamed(versions)),
                    previous: previous.map_or_else(|| "{}".into(), |previous| form.travelling(operation, &previous)),
                }
            },
        );
        Ok(states.collect())
    }

    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError> {
        let schema = Arc::clone(self.schema);
        // Whose they are can't be said as long as it is stopped.
        if schema.stopped.has(table) {
            return Ok(Vec::new());
        }
        let rows: Vec<(String, String)> = self.load(reads::owners(&schema, table, ids)?).await?;
        Ok(rows.into_iter().filter_map(|(id, scope)| Some((id.into(), scope.parse().ok()?))).collect())
    }

    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let written = self.try_run(statement(&schema.of(table)?.upsert).text(rows)).await;
        if !table.is_fitted {
            return written.map(|_| ());
        }
        // A trigger of the application may pass over a row without a word.
        let wanted = serde_json::from_str::<Vec<&RawValue>>(rows).map_or(0, |rows| rows.len());
        match written.map_err(|error| Form::of(&schema, table).refusal(error))? {
            written if written < wanted => Err(StoreError::Constraint("the database does not take it".into())),
            _ => Ok(()),
        }
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let deleted = self.try_run(statement(&schema.of(table)?.delete).text(ids_of(ids))).await;
        if !table.is_fitted {
            return deleted.map(|_| ());
        }
        let deleted = deleted.map_err(|error| Form::of(&schema, table).refusal_to_delete(error))?;
        // A row that is not deleted may have gone with another; or a trigger of the application keeps it.
        if deleted == ids.len() {
            return Ok(());
        }
        let standing: Vec<String> = self.load(reads::standing(table.name, ids)).await?;
        if standing.is_empty() { Ok(()) } else { Err(StoreError::Constraint("the database keeps the row".into())) }
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let Some(insert) = &schema.ensure_user else { return Ok(()) };
        self.on_behalf_of(None);
        let insert = statement(insert).text(user.to_string()).maybe(email).text(now);
        if schema.registry.get("users").is_none_or(|users| !users.is_fitted) {
            return self.run_ahead(insert).await;
        }
        // An application may have rules of its own for who can be a user. Who is none may still read.
        match self.try_run(insert).await {
            Ok(_) | Err(StoreError::Constraint(_) | StoreError::Reference(_) | StoreError::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<(i64, String, String, String)> = self.load(reads::entries(scope, after, tables, limit)).await?;
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
        let wanted = statement::<(BigInt, Text)>(&schema.of(table)?.rows).text(&scope).int(range.after).int(range.upto);
        let (rows, is_whole) = self.load_some(wanted, range.bytes, |row: &(i64, String)| row.1.len()).await?;
        let cut = if is_whole { None } else { rows.last().map(|(version, _)| *version) };
        Ok(Rows { rows, cut })
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        self.records_of(scope, after, limit).await
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
        let schema = Arc::clone(self.schema);
        let wanted = statement::<(Text, BigInt, BigInt)>(&schema.digest).text(list(scopes));
        let rows: Vec<(String, i64, i64)> = self.load(wanted).await?;
        Ok(rows.into_iter().map(|(table, rows, version_sum)| (table, TableDigest { rows, version_sum })).collect())
    }

    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Vec<(Uuid, String)>, StoreError> {
        let rows: Vec<(String, String)> = self.load(reads::receipts(user, mutations)).await?;
        Ok(rows.into_iter().filter_map(|(id, result)| Some((Uuid::try_parse(&id).ok()?, result))).collect())
    }

    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError> {
        let results: Vec<&str> = receipts.iter().map(|(_, result)| result.as_str()).collect();
        let (ids, results) = (list(receipts.iter().map(|(id, _)| id)), results.join(SEPARATOR));
        self.run_ahead(
            statement(
                "INSERT INTO ryzed.receipts (user_id, mutation_id, result, created_at) \
                 SELECT ?1::uuid, r.id, r.result::json, ?4::timestamptz \
                 FROM unnest(?2::uuid[], string_to_array(?3, E'\\x1e')) AS r (id, result) \
                 ON CONFLICT DO NOTHING",
            )
            .text(user.to_string())
            .text(&ids)
            .text(&results)
            .text(now),
        )
        .await
    }

    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        let schema = Arc::clone(self.schema);
        let rows = self.load(statement::<DeviceColumns>(&schema.devices).text(user.to_string())).await?;
        Ok(rows.into_iter().filter_map(device_of).collect())
    }

    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        let schema = Arc::clone(self.schema);
        let rows = self.load(reads::device(&schema, user, device)).await?;
        Ok(rows.into_iter().find_map(device_of))
    }

    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError> {
        self.run_ahead(
            statement(
                "INSERT INTO ryzed.devices (user_id, device_id, device_type, app_version, name, first_seen, last_seen, \
                 last_sync, pending_uploads, cursor, revoked_at) VALUES (?1::uuid, ?2, ?3, ?4, ?5, ?6::timestamptz, \
                 ?7::timestamptz, ?8::timestamptz, ?9, ?10::jsonb, ?11::timestamptz) ON CONFLICT (user_id, device_id) \
                 DO UPDATE SET device_type = excluded.device_type, app_version = excluded.app_version, name = excluded.name, \
                 first_seen = excluded.first_seen, last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 pending_uploads = excluded.pending_uploads, cursor = excluded.cursor, revoked_at = excluded.revoked_at",
            )
            .text(user.to_string())
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
        .await
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
                .text(user.to_string())
                .maybe(id.as_deref()),
            )
            .await?;
        let open = rows.into_iter().filter_map(|(id, conflict, mutation)| {
            Some(OpenConflict { id: Uuid::try_parse(&id).ok()?, conflict, mutation })
        });
        Ok(open.collect())
    }

    async fn keep_conflicts(&mut self, user: UserId, conflicts: &[OpenConflict], now: &str) -> Result<(), StoreError> {
        let joined = |text: fn(&OpenConflict) -> &str| conflicts.iter().map(text).collect::<Vec<_>>().join(SEPARATOR);
        self.run_ahead(
            statement(
                "INSERT INTO ryzed.conflicts (id, user_id, created_at, conflict, mutation) \
                 SELECT c.id, ?1::uuid, ?5::timestamptz, c.conflict::json, c.mutation::json \
                 FROM unnest(?2::uuid[], string_to_array(?3, E'\\x1e'), string_to_array(?4, E'\\x1e')) \
                 AS c (id, conflict, mutation)",
            )
            .text(user.to_string())
            .text(list(conflicts.iter().map(|open| open.id)))
            .text(joined(|open| &open.conflict))
            .text(joined(|open| &open.mutation))
            .text(now),
        )
        .await
    }

    async fn drop_conflict(&mut self, user: UserId, id: Uuid) -> Result<(), StoreError> {
        let (user, id) = (user.to_string(), id.to_string());
        let drop = "DELETE FROM ryzed.conflicts WHERE user_id = ?1::uuid AND id = ?2::uuid";
        self.run_ahead(statement(drop).text(&user).text(&id)).await
    }

    async fn prune_tombstones(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.commit_at_ease();
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

    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError> {
        let see = "UPDATE ryzed.devices d SET last_seen = ?2::timestamptz FROM json_array_elements(?1::json) s \
                   WHERE d.user_id = (s->>0)::uuid AND d.device_id = s->>1 AND d.last_seen < ?3::timestamptz";
        self.run(statement(see).text(serde_json::json!(seen).to_string()).text(now).text(before)).await.map(|_| ())
    }

    async fn prune_devices(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM ryzed.devices WHERE (user_id, device_id) IN (SELECT user_id, device_id FROM ryzed.devices \
                 WHERE last_seen < ?1::timestamptz AND revoked_at IS NULL AND barred_at IS NULL \
                 AND (lost_until IS NULL OR lost_until < ?1::timestamptz) \
                 ORDER BY last_seen LIMIT ?2 FOR UPDATE SKIP LOCKED)",
            )
            .text(before)
            .int(limit),
        )
        .await
    }

    async fn forget_passing_device(&mut self, user: UserId, now: &str) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM ryzed.devices WHERE user_id = ?1::uuid AND device_id = (SELECT device_id FROM ryzed.devices \
                 WHERE user_id = ?1::uuid AND revoked_at IS NULL AND barred_at IS NULL AND last_seen - first_seen < interval '1 hour' \
                 AND ?2::timestamptz - last_seen >= interval '3 hours' ORDER BY last_seen LIMIT 1)",
            )
            .text(user.to_string())
            .text(now),
        )
        .await
    }

    async fn ping(&mut self) -> Result<(), StoreError> {
        self.number(statement("SELECT 1::bigint")).await.map(|_| ())
    }
}
