//! The operations of a transaction, by the part of the database that they are on.

mod devices;
mod housekeeping;
mod index;
mod receipts;
mod rows;
mod scopes;

use async_trait::async_trait;
use ryzed_adapters::Table;
use std::sync::Arc;
use uuid::Uuid;

use super::compare::Compare;
use super::times::Times;
use super::tokens::Tokens;
use super::{OpenConflicts, Rights, Stopped, StoreError, cluster};
use crate::sync::{DeviceId, RowId, Scope, UserId, Version};

pub use devices::DeviceOperations;
pub use housekeeping::HousekeepingOperations;
pub use index::IndexOperations;
pub use receipts::ReceiptOperations;
pub use rows::RowOperations;
pub use scopes::ScopeOperations;

/// The operations of a transaction.
#[async_trait]
pub trait Transaction:
    Compare
    + OpenConflicts
    + Times
    + Tokens
    + ScopeOperations
    + RowOperations
    + IndexOperations
    + ReceiptOperations
    + DeviceOperations
    + HousekeepingOperations
{
    /// Tells which reads are about to come. A database that is far away fetches their answers in one round trip; a write
    /// makes it forget what was not asked for yet.
    async fn prefetch(&mut self, _reads: &[Query<'_>]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Tells of which table the changes are most likely that are about to be read. Others come as well.
    fn expect_rows_of(&mut self, _table: Option<&'static str>) {}

    /// The registry of the instances that share the database; none where there is only one.
    fn presence(&mut self) -> Option<&mut dyn cluster::Presence> {
        None
    }

    /// The tables that are stopped, as far as this transaction knows: nothing of them is read or written.
    fn stopped(&self) -> Arc<Stopped> {
        Arc::default()
    }

    /// Reports that something written is not as it should be. Has the database look, before anything is promised,
    /// whether its tables are still the ones that the daemon knows.
    fn doubt(&mut self) {}

    /// Reports a write that no trigger has booked, so that it would reach nobody: the transaction is not to be
    /// committed.
    fn refuse_unbooked(&mut self);

    /// The rights of people on a table's rows, where an application's grants limit them.
    fn rights(&self, _table: &str) -> Option<Rights> {
        None
    }
}

/// A read of a [`Transaction`], with what it is going to be called with.
#[derive(Debug, Clone, Copy)]
pub enum Query<'r> {
    /// [`ScopeOperations::scopes`].
    Scopes(&'r [Scope]),
    /// [`RowOperations::states`].
    States(&'r Table, &'r [RowId], &'r [Scope], usize),
    /// [`RowOperations::owners`].
    Owners(&'r str, &'r [RowId]),
    /// [`IndexOperations::entries`].
    Entries(Scope, Version, &'r [&'static str], i64),
    /// [`IndexOperations::records`].
    Records(Scope, Version, i64),
    /// [`ReceiptOperations::receipts`].
    Receipts(UserId, &'r [Uuid]),
    /// [`DeviceOperations::device`].
    Device(UserId, &'r DeviceId),
}
