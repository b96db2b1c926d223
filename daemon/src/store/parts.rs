//! Parts of rows, which go with them.

use async_trait::async_trait;
use ryzed_adapters::Table;

use super::StoreError;
use crate::sync::{DeviceId, RowId};

/// A row that is gone, with its table.
pub type Gone = (&'static str, RowId);

/// What can be done in a transaction about parts.
#[async_trait]
pub trait Parts: Send {
    /// Deletes `most` of the rows that would go with these, the lowest first, on behalf of `device`; says which. None where there are
    /// no more than that, or where nobody waits for a long transaction.
    async fn delete_below(
        &mut self,
        _table: &Table,
        _ids: &[RowId],
        _most: usize,
        _device: Option<&DeviceId>,
    ) -> Result<Vec<Gone>, StoreError> {
        Ok(Vec::new())
    }
}
