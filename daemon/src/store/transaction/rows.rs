//! Rows of synced tables.

use async_trait::async_trait;
use ryzed_adapters::Table;

use crate::store::{States, StoreError};
use crate::sync::{DeviceId, RowId, Scope, UserId};

/// The operations on the rows of synced tables.
#[async_trait]
pub trait RowOperations: Send {
    /// The stored state of these rows: live ones wherever they are, tombstones only in `scopes`. Unknown ids are
    /// missing. Reading stops behind the row that exceeds `bytes`; the first row always comes.
    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError>;
    /// The scopes of these live rows.
    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError>;
    /// Writes whole rows, given as a JSON array, on behalf of `device`; all, or none and an error.
    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError>;
    /// Sets `fields` of rows that are there (empty: those that each part brings), given as a JSON array of parts of rows, each
    /// with its id; returns how many rows were there. When not all were there, none is changed.
    async fn update(
        &mut self,
        table: &Table,
        fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError>;
    /// The columns by which each rule of the database goes that wants different rows, but for their ids.
    async fn unique(&mut self, table: &Table) -> Result<Vec<Vec<String>>, StoreError>;
    /// Notes where the transaction stands.
    async fn mark(&mut self) -> Result<(), StoreError>;
    /// Takes back what was written since the mark, which stays.
    async fn take_back(&mut self) -> Result<(), StoreError>;
    /// Deletes rows on behalf of `device`.
    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError>;
    /// The ids of these rows that exist, whether the caller sees them or not.
    async fn standing(&mut self, table: &Table, ids: &[RowId]) -> Result<Vec<RowId>, StoreError>;
    /// Makes the person's row unless it is there, or a rule of the database says that it may not be.
    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError>;
}
