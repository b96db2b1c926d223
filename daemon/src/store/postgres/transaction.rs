//! Each operation of a transaction as PostgreSQL does it, most of them in one statement.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::Table;
use uuid::Uuid;

use super::reads::{self, DeviceColumns, ids_of, list};
use super::session::PostgresTransaction;
use super::wire_format::Form;
use crate::store::cluster::Presence;
use crate::store::decode::{KEPT, NOT_TAKEN, count, device_of, receipts_of};
use crate::store::statement::statement;
use crate::store::unsaid;
use crate::store::{
    DeviceRow, Entry, PAGE_BYTES, Passed, Query, Range, Receipts, Records, Rights, RowState, Rows, ScopeState, States,
    Stopped, StoreError, Transaction,
};
use crate::sync::digest::TableDigest;
use crate::sync::{DeviceId, Operation, RowId, Scope, UserId, Version};

/// Parts JSON texts: JSON has no such character outside of an escape. An array of texts would have each taken apart twice.
pub(super) const SEPARATOR: &str = "\x1e";

#[async_trait]
impl Transaction for PostgresTransaction<'_> {
    async fn prefetch(&mut self, wanted: &[Query<'_>]) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let mut fetching = Vec::with_capacity(wanted.len());
        for read in wanted {
            fetching.extend(match *read {
                Query::Scopes(scopes) => self.to_prefetch(reads::scopes(scopes), usize::MAX),
                Query::States(table, ids, scopes, bytes) => {
                    self.to_prefetch(reads::states(&schema, table, ids, scopes)?, bytes)
                }
                Query::Owners(table, _) if schema.stopped.has(table) => None,
                Query::Owners(table, ids) => self.to_prefetch(reads::owners(&schema, table, ids)?, usize::MAX),
                Query::Entries(scope, after, tables, limit) => {
                    self.to_prefetch(reads::entries(scope, after, tables, limit), usize::MAX)
                }
                Query::Records(scope, after, limit) => {
                    self.to_prefetch(reads::records(self.likely_records(&schema), scope, after, limit), PAGE_BYTES)
                }
                Query::Receipts(user, mutations) => self.to_prefetch(reads::receipts(user, mutations), usize::MAX),
                Query::Device(user, device) => self.to_prefetch(reads::device(&schema, user, device), usize::MAX),
            });
        }
        self.fetch(fetching).await
    }

    fn expect_rows_of(&mut self, table: Option<&'static str>) {
        self.changed.extend(table);
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

    fn refuse_unbooked(&mut self) {
        self.is_unbooked = true;
    }

    fn rights(&self, table: &str) -> Option<Rights> {
        self.schema.layout.of(table)?.rights()
    }

    async fn pass_over(&mut self, passed: &[Passed]) -> Result<(), StoreError> {
        for passed in passed {
            self.pipeline(reads::passing(passed)).await?;
        }
        Ok(())
    }

    async fn untold(&mut self, scopes: &[Scope]) -> Result<Vec<String>, StoreError> {
        self.load(reads::untold(scopes)).await
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
        self.pipeline(statement(touch).text(list(scopes)).text(now)).await
    }

    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError> {
        type Row =
            (String, Option<String>, Option<String>, Option<i64>, Option<String>, Option<String>, Option<String>);
        let schema = Arc::clone(self.schema);
        let size_of = |row: &Row| length(&row.1) + length(&row.5) + length(&row.6);
        let wanted = reads::states(&schema, table, ids, scopes)?;
        let (rows, is_whole): (Vec<Row>, bool) = self.load_some(wanted, bytes, size_of).await?;
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
                    previous: previous.map_or_else(|| "{}".into(), |previous| form.to_wire(operation, &previous)),
                }
            },
        );
        Ok(States { rows: states.collect(), is_whole })
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
        let (schema, wanted) = (Arc::clone(self.schema), count(rows));
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let written = self.try_run(statement(&schema.of(table)?.upsert).text(rows), wanted).await;
        // A trigger may pass over a row without a word.
        match written.map_err(|error| Form::of(&schema, table).refusal(error))? {
            written if written < wanted => Err(StoreError::Constraint(NOT_TAKEN.into())),
            _ => Ok(()),
        }
    }

    async fn update(
        &mut self,
        table: &Table,
        fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(parts));
        let sql = schema.of(table)?;
        let (update, is_known) = match &sql.sets {
            None => (Cow::Borrowed(sql.update.as_str()), true),
            // Nothing of it is the daemon's to write.
            Some(_) if fields.is_empty() => return Ok(wanted),
            Some(sets) => sets.of(fields),
        };
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let updating = statement(&update).text(parts);
        let updated = self.try_run(if is_known { updating } else { updating.once() }, wanted).await;
        updated.map_err(|error| Form::of(&schema, table).refusal(error))
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let deleted = self.try_run(statement(&schema.of(table)?.delete).text(ids_of(ids)), 0).await;
        let deleted = deleted.map_err(|error| Form::of(&schema, table).refusal_to_delete(error))?;
        // A row that is not deleted may have gone with another; or a trigger keeps it.
        if deleted == ids.len() || self.standing(table, ids).await?.is_empty() {
            return Ok(());
        }
        Err(StoreError::Constraint(KEPT.into()))
    }

    async fn standing(&mut self, table: &Table, ids: &[RowId]) -> Result<Vec<RowId>, StoreError> {
        let found: Vec<String> = self.load(reads::standing(table.name, ids)).await?;
        Ok(found.into_iter().map(RowId::from).collect())
    }

    async fn unique(&mut self, table: &Table) -> Result<Vec<Vec<String>>, StoreError> {
        let schema = Arc::clone(self.schema);
        let Some(place) = schema.layout.of(table.name) else { return Ok(Vec::new()) };
        let relation = place.relation();
        let found: Vec<String> = self.load(reads::unique(&relation)).await?;
        let rules = found.iter().filter_map(|columns| serde_json::from_str::<Vec<String>>(columns).ok());
        // What people's rows don't show can't be compared.
        Ok(rules.filter_map(|columns| columns.iter().map(|c| Some(place.at(c)?.name.clone())).collect()).collect())
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        self.mark_here();
        Ok(())
    }

    async fn take_back(&mut self) -> Result<(), StoreError> {
        self.back_to_mark();
        Ok(())
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let Some(insert) = &schema.ensure_user else { return Ok(()) };
        self.on_behalf_of(None);
        let insert = statement(insert).text(user.to_string()).maybe(email).text(now);
        if !self.is_strict && schema.registry.get("users").is_none_or(|users| !users.is_external) {
            return self.pipeline(insert).await;
        }
        // There may be rules for who can be a user. Who is none may still read.
        match self.try_run(insert, 0).await {
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
        rows.iter().for_each(|(_, json)| unsaid::note(table, json));
        Ok(Rows { rows, cut })
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        self.records_of(scope, after, limit).await
    }

    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError> {
        let scope = scope.to_string();
        // Halves the versions: within a scope, times never run backwards.
        self.number(
            statement(
                "WITH RECURSIVE found (low, high) AS (SELECT 0::bigint, coalesce((SELECT max(version) FROM ryzed.changes \
                 WHERE scope = ?1), 0) UNION ALL SELECT CASE WHEN c.changed_at < ?2::timestamptz THEN c.version ELSE f.low END, \
                 CASE WHEN c.changed_at < ?2::timestamptz THEN f.high ELSE (f.low + f.high + 1) / 2 - 1 END \
                 FROM found f LEFT JOIN LATERAL (SELECT c.version, c.changed_at FROM ryzed.changes c WHERE c.scope = ?1 \
                 AND c.version >= (f.low + f.high + 1) / 2 AND c.version <= f.high ORDER BY c.version LIMIT 1) c ON TRUE \
                 WHERE f.low < f.high) \
                 SELECT max(low) FROM found",
            )
            .text(&scope)
            .text(time),
        )
        .await
    }

    async fn count_after(&mut self, scope: Scope, after: Version, most: i64) -> Result<i64, StoreError> {
        let scope = scope.to_string();
        let count = "SELECT count(*) FROM (SELECT FROM ryzed.changes WHERE scope = ?1 AND version > ?2 LIMIT ?3) c";
        self.number(statement(count).text(&scope).int(after).int(most)).await
    }

    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        self.digest_of(scopes).await
    }

    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Receipts, StoreError> {
        let rows: Vec<(String, String)> = self.load(reads::receipts(user, mutations)).await?;
        Ok(receipts_of(rows))
    }

    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError> {
        let results: Vec<&str> = receipts.iter().map(|(_, result)| result.as_str()).collect();
        let (ids, results) = (list(receipts.iter().map(|(id, _)| id)), results.join(SEPARATOR));
        self.pipeline(
            statement(
                "WITH kept AS (INSERT INTO ryzed.receipts (user_id, mutation_id, result, created_at) \
                 SELECT ?1::uuid, r.id, r.result::json, ?4::timestamptz \
                 FROM unnest(?2::uuid[], string_to_array(?3, E'\\x1e')) AS r (id, result) \
                 ON CONFLICT DO NOTHING RETURNING 1) \
                 INSERT INTO ryzed.counts AS c SELECT 'receipts', ?1::uuid::text, count(*) FROM kept \
                 ON CONFLICT (kind, whose) DO UPDATE SET count = c.count + excluded.count",
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
        self.pipeline(
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
        match user {
            Some(user) => {
                let of = "SELECT count(*) FROM ryzed.devices WHERE user_id = ?1::uuid AND revoked_at IS NULL";
                self.number(statement(of).text(user.to_string())).await
            }
            None => {
                let kept = "SELECT coalesce(sum(count), 0)::bigint FROM ryzed.counts WHERE kind = 'devices'";
                self.number(statement(kept)).await
            }
        }
    }

    async fn prune_tombstones(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.commit_at_ease();
        let prune = "SELECT ryzed.prune_tombstones(?1::timestamptz, ?2)";
        let gone = self.number(statement(prune).text(before).int(limit)).await?;
        Ok(usize::try_from(gone).unwrap_or_default())
    }

    async fn prune_receipts(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        let gone = self.number(
            statement(
                "WITH gone AS (DELETE FROM ryzed.receipts WHERE (user_id, mutation_id) IN (SELECT user_id, mutation_id \
                 FROM ryzed.receipts WHERE created_at < ?1::timestamptz ORDER BY created_at LIMIT ?2 FOR UPDATE SKIP LOCKED) \
                 RETURNING user_id), counted AS (INSERT INTO ryzed.counts AS c SELECT 'receipts', user_id::text, -count(*) \
                 FROM gone GROUP BY user_id ORDER BY user_id ON CONFLICT (kind, whose) \
                 DO UPDATE SET count = c.count + excluded.count) SELECT count(*) FROM gone",
            )
            .text(before)
            .int(limit),
        );
        Ok(usize::try_from(gone.await?).unwrap_or_default())
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
}

pub(super) fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}
