//! Refusal of revoked devices, and the marks of the tokens that devices have used, which it takes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;
use crate::sync::token::{Presented, Refusal};
use crate::sync::{DeviceId, Mark, UserId};

/// A mark that is to be remembered, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The mark of a token or of its session.
    pub mark: Mark,
    /// The time from which it can be forgotten.
    pub until: DateTime<Utc>,
}

/// The operations on revoked devices.
#[async_trait]
pub trait Tokens: Send {
    /// Remembers the token that a device has used. Of one person at most `most` marks are kept: of those that go, the
    /// oldest first, the device is noted to have had some that are no longer known.
    async fn keep_uses(
        &mut self,
        user: UserId,
        device: &DeviceId,
        uses: &[Use],
        now: &str,
        most: i64,
    ) -> Result<(), StoreError>;
    /// From `at` on whatever the device came with until now is refused, also when the device is allowed again.
    async fn bar(&mut self, user: UserId, device: &DeviceId, at: &str) -> Result<(), StoreError>;
    /// The presented ones that are refused, by their index.
    async fn refused(&mut self, presented: &[Presented]) -> Result<Vec<(usize, Refusal)>, StoreError>;
    /// Forgets at most `limit` marks whose time was over `before`; returns how many.
    async fn prune_uses(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
}
