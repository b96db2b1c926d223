//! Versions of scopes.

use async_trait::async_trait;

use super::super::reads::{self, json};
use super::SqliteTransaction;
use crate::store::statement::statement;
use crate::store::{ScopeOperations, ScopeState, StoreError};
use crate::sync::Scope;

#[async_trait]
impl ScopeOperations for SqliteTransaction<'_> {
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError> {
        let rows: Vec<(String, i64, i64, String)> = self.load(reads::scopes(scopes))?;
        let states = rows.into_iter().filter_map(|(scope, version, floor, changed_at)| {
            Some(ScopeState { scope: scope.parse().ok()?, version, floor, changed_at })
        });
        Ok(states.collect())
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
