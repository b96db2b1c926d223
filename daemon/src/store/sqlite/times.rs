//! The stored times in SQLite.

use async_trait::async_trait;

use super::transaction::SqliteTransaction;
use crate::store::StoreError;
use crate::store::decode::{TimesColumns, times_of};
use crate::store::statement::statement;
use crate::store::times::{StoredTimes, Times};

#[async_trait]
impl Times for SqliteTransaction<'_> {
    async fn times(&mut self) -> Result<StoredTimes, StoreError> {
        let ask = "SELECT (SELECT max(changed_at) FROM sync_scopes), (SELECT believed FROM sync_clock), \
                   strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')";
        times_of(self.load(statement::<TimesColumns>(ask))?)
    }

    async fn keep_time(&mut self, believed: &str) -> Result<(), StoreError> {
        let keep =
            "INSERT INTO sync_clock VALUES (1, ?1) ON CONFLICT (only_one) DO UPDATE SET believed = excluded.believed";
        self.run(statement(keep).text(believed))?;
        Ok(())
    }
}
