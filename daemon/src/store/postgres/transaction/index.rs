//! The change index.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::Table;

use super::super::reads::{self};
use super::super::session::PostgresTransaction;
use crate::store::decode::entries_of;
use crate::store::statement::statement;
use crate::store::unsaid;
use crate::store::{Entry, IndexOperations, Passed, Range, Records, Rows, StoreError};
use crate::sync::digest::TableDigest;
use crate::sync::{Scope, Version};

#[async_trait]
impl IndexOperations for PostgresTransaction<'_> {
    async fn pass_over(&mut self, passed: &[Passed]) -> Result<(), StoreError> {
        for passed in passed {
            self.pipeline(reads::passing(passed)).await?;
        }
        Ok(())
    }

    async fn untold(&mut self, scopes: &[Scope]) -> Result<Vec<String>, StoreError> {
        self.load(reads::untold(scopes)).await
    }

    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(entries_of(self.load(reads::entries(scope, after, tables, limit)).await?, &self.schema.registry))
    }

    async fn rows(&mut self, table: &Table, scope: Scope, range: Range) -> Result<Rows, StoreError> {
        let schema = Arc::clone(self.schema);
        let scope = scope.to_string();
        let wanted = statement::<(BigInt, Text)>(&schema.of(table)?.rows).text(&scope).int(range.after).int(range.upto);
        let (rows, is_whole) = self.load_some(wanted, range.bytes, |row: &(i64, String)| row.1.len()).await?;
        let cut = if is_whole { None } else { rows.last().map(|(version, _)| *version) };
        rows.iter().for_each(|(_, json)| unsaid::note(table, json));
        Ok(Rows { rows, cut })
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        self.records_of(scope, after, limit).await
    }

    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError> {
        let scope = scope.to_string();
        // Halves the versions: within a scope, times never run backwards.
        self.number(
            statement(
                "WITH RECURSIVE found (low, high) AS (SELECT 0::bigint, coalesce((SELECT max(version) FROM ryzed.changes \
                 WHERE scope = ?1), 0) UNION ALL SELECT CASE WHEN c.changed_at < ?2::timestamptz THEN c.version ELSE f.low END, \
                 CASE WHEN c.changed_at < ?2::timestamptz THEN f.high ELSE (f.low + f.high + 1) / 2 - 1 END \
                 FROM found f LEFT JOIN LATERAL (SELECT c.version, c.changed_at FROM ryzed.changes c WHERE c.scope = ?1 \
                 AND c.version >= (f.low + f.high + 1) / 2 AND c.version <= f.high ORDER BY c.version LIMIT 1) c ON TRUE \
                 WHERE f.low < f.high) \
                 SELECT max(low) FROM found",
            )
            .text(&scope)
            .text(time),
        )
        .await
    }

    async fn count_after(&mut self, scope: Scope, after: Version, most: i64) -> Result<i64, StoreError> {
        let scope = scope.to_string();
        let count = "SELECT count(*) FROM (SELECT FROM ryzed.changes WHERE scope = ?1 AND version > ?2 LIMIT ?3) c";
        self.number(statement(count).text(&scope).int(after).int(most)).await
    }

    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        self.digest_of(scopes).await
    }
}
