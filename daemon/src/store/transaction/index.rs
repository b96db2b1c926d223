//! The change index.

use async_trait::async_trait;
use ryzed_adapters::Table;

use crate::store::{Entry, Passed, Range, Records, Rows, StoreError};
use crate::sync::digest::TableDigest;
use crate::sync::{Scope, Version};

/// The operations on the change index.
#[async_trait]
pub trait IndexOperations: Send {
    /// Entries of `scope` after `after`, in version order, at most `limit`; `tables` empty means all.
    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError>;
    /// Live rows of one table in `range`, as JSON with `_version`, in version order.
    async fn rows(&mut self, table: &Table, scope: Scope, range: Range) -> Result<Rows, StoreError>;
    /// Changes with `after < version`, whole, in version order, at most `limit` and about
    /// [`PAGE_BYTES`](crate::store::PAGE_BYTES).
    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError>;
    /// The last version of `scope` whose time is before `time`, or 0.
    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError>;
    /// The number of entries of `scope` after `after`, counted up to `most`.
    async fn count_after(&mut self, scope: Scope, after: Version, most: i64) -> Result<i64, StoreError>;
    /// The digests of the live rows of these scopes, by table; a table may come several times, once for each scope.
    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError>;

    /// Notes that a device passes over entries of stopped tables, so that it gets them once those tables are served
    /// again.
    async fn pass_over(&mut self, _passed: &[Passed]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The tables that are served again and of which entries that were passed over in these scopes are still to be
    /// sent.
    async fn untold(&mut self, _scopes: &[Scope]) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
