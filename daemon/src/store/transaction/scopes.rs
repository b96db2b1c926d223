//! Versions of scopes.

use async_trait::async_trait;

use crate::store::{ScopeState, StoreError};
use crate::sync::Scope;

/// The operations on the versions of scopes.
#[async_trait]
pub trait ScopeOperations: Send {
    /// The state of these scopes, in the order asked; one without changes is at version 0.
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError>;
    /// Makes sure that no later change of these scopes gets a time before `now`.
    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError>;
}
