//! Receipts of mutations.

use async_trait::async_trait;
use uuid::Uuid;

use super::super::reads::{self, list};
use super::super::session::PostgresTransaction;
use super::SEPARATOR;
use crate::store::decode::receipts_of;
use crate::store::statement::statement;
use crate::store::{ReceiptOperations, Receipts, StoreError};
use crate::sync::UserId;

#[async_trait]
impl ReceiptOperations for PostgresTransaction<'_> {
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
}
