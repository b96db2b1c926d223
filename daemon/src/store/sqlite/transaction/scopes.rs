//! Versions of scopes.

use async_trait::async_trait;

use super::super::reads::{self, json};
use super::SqliteTransaction;
use crate::store::decode::scopes_of;
use crate::store::statement::statement;
use crate::store::{ScopeOperations, ScopeState, StoreError};
use crate::sync::Scope;

#[async_trait]
impl ScopeOperations for SqliteTransaction<'_> {
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        Ok(scopes_of(self.load(reads::scopes(scopes))?))
    }

    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError> {
        self.run(
            statement(
                "INSERT INTO sync_scopes (scope, changed_at) SELECT value, ?2 FROM json_each(?1) WHERE TRUE \
                 ON CONFLICT (scope) DO UPDATE SET changed_at = max(changed_at, excluded.changed_at)",
            )
            .text(json(&scopes))
            .text(now),
        )?;
        Ok(())
    }
}
