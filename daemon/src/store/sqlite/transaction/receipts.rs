//! Receipts of mutations.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::reads::{self, json};
use super::SqliteTransaction;
use crate::store::decode::receipts_of;
use crate::store::statement::statement;
use crate::store::{ReceiptOperations, Receipts, StoreError};
use crate::sync::UserId;

#[async_trait]
impl ReceiptOperations for SqliteTransaction<'_> {
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
}
