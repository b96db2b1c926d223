//! Receipts of mutations.

use async_trait::async_trait;
use uuid::Uuid;

use crate::store::{Receipts, StoreError};
use crate::sync::UserId;

/// The operations on receipts.
#[async_trait]
pub trait ReceiptOperations: Send {
    /// The results of mutations that were seen before, and how many there are of the person.
    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Receipts, StoreError>;
    /// Keeps the results of mutations.
    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError>;
}
