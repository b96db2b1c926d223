//! Conflicts that wait for a person.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::sync::UserId;

/// A piece of JSON that is in a mutation which holds parts of a row, and in no other: within texts a quote is escaped.
pub(super) const HOLDS_PARTS: &str = r#""parts":["#;

/// A conflict that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenConflict {
    /// Its id. Later ones have greater ids.
    pub id: Uuid,
    /// The key of the place in the data that the conflict is about; none for one that an older release has kept.
    pub place: Option<String>,
    /// The conflict as the client got it, as JSON.
    pub conflict: String,
    /// The client's mutation, as JSON.
    pub mutation: String,
}

/// The number and size of a person's open conflicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenStand {
    /// Their number.
    pub count: usize,
    /// Their size in bytes.
    pub bytes: usize,
}

/// Some of a person's open conflicts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenPage {
    /// Oldest first.
    pub open: Vec<OpenConflict>,
    /// True if more follow.
    pub has_more: bool,
}

/// The operations on open conflicts.
#[async_trait]
pub trait OpenConflicts: Send {
    /// The person's open conflicts behind `after`, oldest first; at most `limit` and about `bytes`, and at least one.
    async fn open_page(
        &mut self,
        user: UserId,
        after: Option<Uuid>,
        limit: i64,
        bytes: usize,
    ) -> Result<OpenPage, StoreError>;
    /// One open conflict.
    async fn open_conflict(&mut self, user: UserId, id: Uuid) -> Result<Option<OpenConflict>, StoreError>;
    /// The person's open conflicts at these places.
    async fn conflicts_at(&mut self, user: UserId, places: &[String]) -> Result<Vec<OpenConflict>, StoreError>;
    /// The person's open conflicts that hold parts of a row.
    async fn conflicts_with_parts(&mut self, user: UserId) -> Result<Vec<OpenConflict>, StoreError>;
    /// The number and size of the person's open conflicts.
    async fn open_stand(&mut self, user: UserId) -> Result<OpenStand, StoreError>;
    /// Keeps open conflicts, new ones and those that have changed.
    async fn keep_conflicts(&mut self, user: UserId, conflicts: &[OpenConflict], now: &str) -> Result<(), StoreError>;
    /// Forgets a conflict that was settled.
    async fn drop_conflict(&mut self, user: UserId, id: Uuid) -> Result<(), StoreError>;
}
