//! Versions of scopes.

use async_trait::async_trait;

use super::super::reads::{self, list};
use super::super::session::PostgresTransaction;
use crate::store::decode::scopes_of;
use crate::store::statement::statement;
use crate::store::{ScopeOperations, ScopeState, StoreError};
use crate::sync::Scope;

#[async_trait]
impl ScopeOperations for PostgresTransaction<'_> {
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        Ok(scopes_of(self.load(reads::scopes(scopes)).await?))
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        let touch = "SELECT ryzed.touch(?1::text[], ?2::timestamptz)";
        self.pipeline(statement(touch).text(list(scopes)).text(now)).await
    }
}
