//! Versions of scopes.

use async_trait::async_trait;

use super::super::reads::{self, list};
use super::super::session::PostgresTransaction;
use crate::store::statement::statement;
use crate::store::{ScopeOperations, ScopeState, StoreError};
use crate::sync::Scope;

#[async_trait]
impl ScopeOperations for PostgresTransaction<'_> {
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        let rows: Vec<(String, i64, i64, String)> = self.load(reads::scopes(scopes)).await?;
        let states = rows.into_iter().filter_map(|(scope, version, floor, changed_at)| {
            Some(ScopeState { scope: scope.parse().ok()?, version, floor, changed_at })
        });
        Ok(states.collect())
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        let touch = "SELECT ryzed.touch(?1::text[], ?2::timestamptz)";
        self.pipeline(statement(touch).text(list(scopes)).text(now)).await
    }
}
