//! Removal of what is old.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::super::reads::json;
use super::SqliteTransaction;
use crate::store::statement::statement;
use crate::store::{HousekeepingOperations, StoreError};
use crate::sync::UserId;

#[async_trait]
impl HousekeepingOperations for SqliteTransaction<'_> {
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
