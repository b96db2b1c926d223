//! Each operation of a transaction as PostgreSQL does it, most of them in one statement.

mod devices;
mod housekeeping;
mod index;
mod receipts;
mod rows;
mod scopes;

use std::sync::Arc;

use async_trait::async_trait;

use super::reads;
use super::session::PostgresTransaction;
use crate::store::cluster::Presence;
use crate::store::{PAGE_BYTES, Query, Rights, Stopped, StoreError, Transaction};

/// Parts JSON texts: JSON has no such character outside of an escape. An array of texts would have each taken apart twice.
pub(super) const SEPARATOR: &str = "\x1e";

#[async_trait]
impl Transaction for PostgresTransaction<'_> {
    async fn prefetch(&mut self, wanted: &[Query<'_>]) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let mut fetching = Vec::with_capacity(wanted.len());
        for read in wanted {
            fetching.extend(match *read {
                Query::Scopes(scopes) => self.to_prefetch(reads::scopes(scopes), usize::MAX),
                Query::States(table, ids, scopes, bytes) => {
                    self.to_prefetch(reads::states(&schema, table, ids, scopes)?, bytes)
                }
                Query::Owners(table, _) if schema.stopped.has(table) => None,
                Query::Owners(table, ids) => self.to_prefetch(reads::owners(&schema, table, ids)?, usize::MAX),
                Query::Entries(scope, after, tables, limit) => {
                    self.to_prefetch(reads::entries(scope, after, tables, limit), usize::MAX)
                }
                Query::Records(scope, after, limit) => {
                    self.to_prefetch(reads::records(self.likely_records(&schema), scope, after, limit), PAGE_BYTES)
                }
                Query::Receipts(user, mutations) => self.to_prefetch(reads::receipts(user, mutations), usize::MAX),
                Query::Device(user, device) => self.to_prefetch(reads::device(&schema, user, device), usize::MAX),
            });
        }
        self.fetch(fetching).await
    }

    fn expect_rows_of(&mut self, table: Option<&'static str>) {
        self.changed.extend(table);
    }

    fn presence(&mut self) -> Option<&mut dyn Presence> {
        self.wait_shortly();
        Some(self)
    }

    fn stopped(&self) -> Arc<Stopped> {
        Arc::clone(&self.schema.stopped)
    }

    fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    fn refuse_unbooked(&mut self) {
        self.is_unbooked = true;
    }

    fn rights(&self, table: &str) -> Option<Rights> {
        self.schema.layout.of(table)?.rights()
    }
}

pub(super) fn length(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}
