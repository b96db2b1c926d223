//! Each operation of a transaction as SQLite does it. No future in here ever waits.

mod attempt;

use std::sync::Arc;

use async_trait::async_trait;
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use ryzed_adapters::Table;
use uuid::Uuid;

use super::Schema;
use super::json::Json;
use super::reads::{self, json};
use super::sums;
use crate::store::decode::{KEPT, NOT_TAKEN, SumsTuple, count, device_of, digest_of, receipts_of, to_wire};
use crate::store::statement::{Statement, statement};
use crate::store::unsaid;
use crate::store::{
    DeviceRow, Entry, Range, Receipts, Records, RowState, Rows, ScopeState, States, StoreError, Transaction,
};
use crate::sync::digest::TableDigest;
use crate::sync::{DeviceId, Operation, RowId, Scope, UserId, Version};
pub(in crate::store::sqlite) use attempt::Care;

/// A transaction that somebody else began and will end.
pub(super) struct SqliteTransaction<'c> {
    pub connection: &'c mut SqliteConnection,
    pub schema: &'c Arc<Schema>,
    /// The person on whose behalf it runs.
    pub user: Option<UserId>,
    /// The reason of a failure that is about the moment and not about the statement.
    pub trouble: Option<String>,
    /// The rows that roll the transaction back, while its jobs run again.
    pub care: Option<Care>,
    /// A row has taken the transaction back.
    pub is_taken_back: bool,
    /// True once something was written that would reach nobody.
    pub is_unbooked: bool,
}

impl<'c> SqliteTransaction<'c> {
    pub(super) fn new(connection: &'c mut SqliteConnection, schema: &'c Arc<Schema>) -> Self {
        Self { connection, schema, user: None, trouble: None, care: None, is_taken_back: false, is_unbooked: false }
    }

    pub(super) fn run(&mut self, statement: Statement<'_>) -> Result<usize, StoreError> {
        self.sound()?;
        let done = statement.execute(self.connection);
        self.noted(done)
    }

    pub(super) fn noted<T>(&mut self, result: QueryResult<T>) -> Result<T, StoreError> {
        let result = result.map_err(StoreError::from);
        if let Err(StoreError::Unavailable(trouble)) = &result {
            self.trouble = Some(trouble.clone());
        }
        result
    }

    pub(super) fn load<ST, T>(&mut self, statement: Statement<'_, ST>) -> Result<Vec<T>, StoreError>
    where
        for<'s> Statement<'s, ST>: diesel::query_dsl::LoadQuery<'s, SqliteConnection, T>,
    {
        self.sound()?;
        let loaded = statement.load::<T>(self.connection);
        self.noted(loaded)
    }
}

#[async_trait]
impl Transaction for SqliteTransaction<'_> {
    fn refuse_unbooked(&mut self) {
        self.is_unbooked = true;
    }

    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        let rows: Vec<(String, i64, i64, String)> = self.load(reads::scopes(scopes))?;
        let states = rows.into_iter().filter_map(|(scope, version, floor, changed_at)| {
            Some(ScopeState { scope: scope.parse().ok()?, version, floor, changed_at })
        });
        Ok(states.collect())
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        self.run(
            statement(
                "INSERT INTO sync_scopes (scope, changed_at) SELECT value, ?2 FROM json_each(?1) WHERE TRUE \
                 ON CONFLICT (scope) DO UPDATE SET changed_at = max(changed_at, excluded.changed_at)",
            )
            .text(json(&scopes))
            .text(now),
        )?;
        Ok(())
    }

    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError> {
        type Row = (String, Option<Json>, Option<String>, Option<i64>, Option<String>, Option<String>, Option<Json>);
        let schema = Arc::clone(self.schema);
        let wanted = reads::states(&schema, table, ids, scopes)?;
        let (mut found, mut size) = (States { rows: Vec::new(), is_whole: true }, 0);
        for row in wanted.load_iter::<Row, DefaultLoadingMode>(self.connection)? {
            let (id, row, scope, version, operation, field_versions, previous) = row?;
            if row.is_none() && scope.is_none() {
                continue;
            }
            if size > bytes {
                found.is_whole = false;
                break;
            }
            let state = RowState {
                id: id.into(),
                row: row.map(|Json(row)| row),
                scope: scope.and_then(|scope| scope.parse().ok()),
                version: version.unwrap_or(0),
                operation: operation.as_deref().and_then(Operation::of).unwrap_or(Operation::Insert),
                field_versions: field_versions.unwrap_or_else(|| "{}".into()),
                previous: previous.map_or_else(|| "{}".into(), |Json(previous)| to_wire(table, previous)),
            };
            size += state.size();
            found.rows.push(state);
        }
        Ok(found)
    }

    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError> {
        let rows: Vec<(String, String)> = self.load(reads::owners(table, ids))?;
        Ok(rows.into_iter().filter_map(|(id, scope)| Some((id.into(), scope.parse().ok()?))).collect())
    }

    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(rows));
        let written = self.attempt(statement(&schema.of(table)?.upsert).text(rows), (wanted, wanted), device)?;
        if written < wanted { Err(StoreError::Constraint(NOT_TAKEN.into())) } else { Ok(()) }
    }

    async fn update(
        &mut self,
        table: &Table,
        _fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(parts));
        self.attempt(statement(&schema.of(table)?.update).text(parts), (wanted, wanted), device)
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let deleted = self.attempt(statement(&schema.of(table)?.delete).text(json(&ids)), (ids.len(), 0), device)?;
        if deleted == ids.len() || self.standing(table, ids).await?.is_empty() {
            return Ok(());
        }
        Err(StoreError::Constraint(KEPT.into()))
    }

    async fn standing(&mut self, table: &Table, ids: &[RowId]) -> Result<Vec<RowId>, StoreError> {
        let standing = format!("SELECT id FROM {} WHERE id IN (SELECT value FROM json_each(?1))", table.name);
        let found: Vec<String> = self.load(statement::<Text>(&standing).text(json(&ids)))?;
        Ok(found.into_iter().map(RowId::from).collect())
    }

    async fn unique(&mut self, table: &Table) -> Result<Vec<Vec<String>>, StoreError> {
        let rules = "SELECT json_group_array(c.name) FROM pragma_index_list(?1) l, pragma_index_info(l.name) c \
                     WHERE l.\"unique\" AND l.origin <> 'pk' AND c.name IS NOT NULL GROUP BY l.name";
        let found: Vec<String> = self.load(statement::<Text>(rules).text(table.name))?;
        Ok(found.iter().filter_map(|columns| serde_json::from_str(columns).ok()).collect())
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        self.run(statement("SAVEPOINT upload")).map(|_| ())
    }

    async fn take_back(&mut self) -> Result<(), StoreError> {
        self.run(statement("ROLLBACK TO upload")).map(|_| ())
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        let id = user.to_string();
        let insert =
            "INSERT INTO users (id, email, created_at, updated_at) VALUES (?1, ?2, ?3, ?3) ON CONFLICT (id) DO NOTHING";
        // A rule of the operator's may say who can be a user. Who is none may still read.
        match self.attempt(statement(insert).text(&id).maybe(email).text(now), (1, 0), None) {
            Ok(_) | Err(StoreError::Constraint(_) | StoreError::Reference(_)) => Ok(()),
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
        let rows: Vec<(i64, String, String, String)> = self.load(reads::entries(scope, after, tables, limit))?;
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
        let wanted = reads::rows(&schema, table, scope, range)?;
        let mut found = Rows::default();
        let mut bytes = 0;
        // Row by row, so that what does not fit is not even made.
        for row in wanted.load_iter::<(i64, Json), DefaultLoadingMode>(self.connection)? {
            let (version, Json(json)) = row?;
            if bytes > range.bytes {
                found.cut = found.rows.last().map(|(version, _)| *version);
                break;
            }
            bytes += json.len();
            unsaid::note(table, &json);
            found.rows.push((version, json));
        }
        Ok(found)
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        self.records_of(scope, after, limit).await
    }

    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError> {
        self.number(reads::version_before(scope, time))
    }

    async fn count_after(&mut self, scope: Scope, after: Version, most: i64) -> Result<i64, StoreError> {
        self.number(reads::count_after(scope, after, most))
    }

    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        let sums: Vec<SumsTuple> = self.load(sums::of(scopes))?;
        Ok(sums.into_iter().map(digest_of).collect())
    }

    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Receipts, StoreError> {
        let rows: Vec<(String, String)> = self.load(reads::receipts(user, mutations))?;
        Ok(receipts_of(rows))
    }

    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError> {
        let user = user.to_string();
        let receipts = json(&receipts);
        let kept = self.run(
            statement(
                "INSERT INTO sync_receipts (user_id, mutation_id, result, created_at) \
                 SELECT ?1, value ->> 0, value ->> 1, ?3 FROM json_each(?2) WHERE TRUE ON CONFLICT DO NOTHING",
            )
            .text(&user)
            .text(&receipts)
            .text(now),
        )?;
        self.run(
            statement(
                "INSERT INTO sync_counts VALUES ('receipts', ?1, ?2) \
                 ON CONFLICT (kind, whose) DO UPDATE SET count = count + excluded.count",
            )
            .text(&user)
            .int(i64::try_from(kept).unwrap_or(i64::MAX)),
        )?;
        Ok(())
    }

    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        Ok(self.load(reads::devices(user, None))?.into_iter().filter_map(device_of).collect())
    }

    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        Ok(self.load(reads::devices(user, Some(device)))?.into_iter().find_map(device_of))
    }

    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError> {
        let user = user.to_string();
        self.run(
            statement(
                "INSERT INTO sync_devices (user_id, device_id, device_type, app_version, name, first_seen, last_seen, \
                 last_sync, pending_uploads, cursor, revoked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
                 ON CONFLICT (user_id, device_id) DO UPDATE SET device_type = excluded.device_type, \
                 app_version = excluded.app_version, name = excluded.name, first_seen = excluded.first_seen, \
                 last_seen = excluded.last_seen, last_sync = excluded.last_sync, \
                 pending_uploads = excluded.pending_uploads, cursor = excluded.cursor, revoked_at = excluded.revoked_at",
            )
            .text(&user)
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
        )?;
        Ok(())
    }

    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError> {
        self.number(reads::count_devices(user.map(|user| user.to_string()).as_deref()))
    }

    async fn prune_tombstones(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        // The oldest first, so that a scope's floor rises with its tombstones and never over one that is kept.
        let gone: Vec<(String, i64)> = self.load(
            statement::<(Text, BigInt)>(
                "DELETE FROM sync_changes WHERE (table_name, row_id, scope) IN (SELECT table_name, row_id, scope \
                 FROM sync_changes WHERE operation = 'DELETE' AND changed_at < ?1 ORDER BY changed_at, version LIMIT ?2) \
                 RETURNING scope, version",
            )
            .text(before)
            .int(limit),
        )?;
        self.run(
            statement(
                "UPDATE sync_scopes SET floor = max(floor, g.version) FROM (SELECT value ->> 0 AS scope, \
                 max(value ->> 1) AS version FROM json_each(?1) GROUP BY 1) g WHERE sync_scopes.scope = g.scope",
            )
            .text(json(&gone)),
        )?;
        Ok(gone.len())
    }

    async fn prune_receipts(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        let gone: Vec<String> = statement::<Text>(
            "DELETE FROM sync_receipts WHERE (user_id, mutation_id) IN (SELECT user_id, mutation_id FROM sync_receipts \
             WHERE created_at < ?1 ORDER BY created_at LIMIT ?2) RETURNING user_id",
        )
        .text(before)
        .int(limit)
        .load(self.connection)?;
        self.run(
            statement(
                "UPDATE sync_counts SET count = sync_counts.count - g.count FROM (SELECT value AS whose, count(*) AS count \
                 FROM json_each(?1) GROUP BY 1) g WHERE kind = 'receipts' AND sync_counts.whose = g.whose",
            )
            .text(json(&gone)),
        )?;
        self.run(statement(
            "DELETE FROM sync_counts WHERE kind = 'receipts' AND count <= 0 AND whose IN (SELECT value FROM json_each(?1))",
        ).text(json(&gone)))?;
        Ok(gone.len())
    }

    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError> {
        let see = "UPDATE sync_devices SET last_seen = ?2 WHERE last_seen < ?3 AND (user_id, device_id) IN \
                   (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?1))";
        self.run(statement(see).text(serde_json::json!(seen).to_string()).text(now).text(before)).map(|_| ())
    }

    async fn prune_devices(&mut self, before: &str, limit: i64) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM sync_devices WHERE (user_id, device_id) IN (SELECT user_id, device_id FROM sync_devices \
                 WHERE last_seen < ?1 AND revoked_at IS NULL AND barred_at IS NULL \
                 AND (lost_until IS NULL OR lost_until < ?1) ORDER BY last_seen LIMIT ?2)",
            )
            .text(before)
            .int(limit),
        )
    }

    async fn forget_passing_device(&mut self, user: UserId, now: &str) -> Result<usize, StoreError> {
        self.run(
            statement(
                "DELETE FROM sync_devices WHERE user_id = ?1 AND device_id = (SELECT device_id FROM sync_devices \
                 WHERE user_id = ?1 AND revoked_at IS NULL AND barred_at IS NULL AND unixepoch(last_seen) - unixepoch(first_seen) < 3600 \
                 AND unixepoch(?2) - unixepoch(last_seen) >= 10800 ORDER BY last_seen LIMIT 1)",
            )
            .text(user.to_string())
            .text(now),
        )
    }
}

impl SqliteTransaction<'_> {
    pub(super) fn on_behalf_of(&mut self, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let scope = device.and(self.user).map(|user| Scope::User(user).to_string());
        let context = statement("UPDATE sync_context SET device = ?1, scope = ?2");
        self.run(context.maybe(device.map(DeviceId::as_str)).maybe(scope.as_deref()))?;
        Ok(())
    }

    fn number(&mut self, statement: Statement<'_, BigInt>) -> Result<i64, StoreError> {
        Ok(self.load::<BigInt, i64>(statement)?.first().copied().unwrap_or(0))
    }
}
