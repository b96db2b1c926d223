//! Removal of what is old.

use async_trait::async_trait;

use crate::store::StoreError;
use crate::sync::UserId;

/// The operations that forget what is old.
#[async_trait]
pub trait HousekeepingOperations: Send {
    /// Forgets at most `limit` tombstones older than `before`, raising the floors; returns how many.
    async fn prune_tombstones(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
    /// Forgets at most `limit` receipts older than `before`; returns how many.
    async fn prune_receipts(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
    /// Forgets the person's device that was seen least lately of those that were never seen after their first hour, nor for
    /// three before `now`; returns how many. Revoked ones stay.
    async fn forget_passing_device(&mut self, user: UserId, now: &str) -> Result<usize, StoreError>;
    /// Forgets at most `limit` devices that were last seen before `before` and are not revoked; returns how many.
    async fn prune_devices(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
}
