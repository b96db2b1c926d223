//! Removal of what is old.

use async_trait::async_trait;

use super::super::session::PostgresTransaction;
use crate::store::statement::statement;
use crate::store::{HousekeepingOperations, StoreError};
use crate::sync::UserId;

#[async_trait]
impl HousekeepingOperations for PostgresTransaction<'_> {
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
