//! Receipts of mutations.

use async_trait::async_trait;
use uuid::Uuid;

use super::SqliteTransaction;
use crate::store::combine::{KeptReceipts, Sets};
use crate::store::{ReceiptOperations, Receipts, StoreError};
use crate::sync::UserId;

#[async_trait]
impl ReceiptOperations for SqliteTransaction<'_> {
    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Receipts, StoreError> {
        let mut found = self.all_receipts(&[(user, mutations.to_vec())]).await?;
        Ok(found.pop().unwrap_or_default())
    }

    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError> {
        self.keep_all_receipts(&[KeptReceipts { user, receipts: receipts.to_vec(), now: now.into() }]).await
    }
}
