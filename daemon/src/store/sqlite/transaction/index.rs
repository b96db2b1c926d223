//! The change index.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use ryzed_adapters::Table;

use super::super::json::Json;
use super::super::reads::{self};
use super::super::sums;
use super::SqliteTransaction;
use crate::store::decode::{SumsTuple, digest_of, entries_of};
use crate::store::unsaid;
use crate::store::{Entry, IndexOperations, Range, Records, Rows, StoreError};
use crate::sync::digest::TableDigest;
use crate::sync::{Scope, Version};

#[async_trait]
impl IndexOperations for SqliteTransaction<'_> {
    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(entries_of(self.load(reads::entries(scope, after, tables, limit))?, &self.schema.registry))
    }

    async fn rows(&mut self, table: &Table, scope: Scope, range: Range) -> Result<Rows, StoreError> {
        let schema = Arc::clone(self.schema);
        let wanted = reads::rows(&schema, table, scope, range)?;
        let mut found = Rows::default();
        let mut bytes = 0;
        // Row by row, so that what does not fit is not even made.
        for row in wanted.load_iter::<(i64, Json), DefaultLoadingMode>(self.connection)? {
            let (version, Json(json)) = row?;
            if bytes > range.bytes {
                found.cut = found.rows.last().map(|(version, _)| *version);
                break;
            }
            bytes += json.len();
            unsaid::note(table, &json);
            found.rows.push((version, json));
        }
        Ok(found)
    }

    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError> {
        self.records_of(scope, after, limit).await
    }

    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError> {
        self.number(reads::version_before(scope, time))
    }

    async fn count_after(&mut self, scope: Scope, after: Version, most: i64) -> Result<i64, StoreError> {
        self.number(reads::count_after(scope, after, most))
    }

    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError> {
        let sums: Vec<SumsTuple> = self.load(sums::of(scopes))?;
        Ok(sums.into_iter().map(digest_of).collect())
    }
}
