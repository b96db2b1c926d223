//! The stored times in SQLite.

use async_trait::async_trait;
use diesel::sql_types::{Nullable, Text};

use super::transaction::SqliteTransaction;
use crate::store::StoreError;
use crate::store::statement::statement;
use crate::store::times::{StoredTimes, Times};

#[async_trait]
impl Times for SqliteTransaction<'_> {
    async fn times(&mut self) -> Result<StoredTimes, StoreError> {
        type Columns = (Nullable<Text>, Nullable<Text>, Text);
        let ask = "SELECT (SELECT max(changed_at) FROM sync_scopes), (SELECT believed FROM sync_clock), \
                   strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')";
        let rows: Vec<(Option<String>, Option<String>, String)> = self.load(statement::<Columns>(ask))?;
        rows.into_iter()
            .next()
            .map(|(newest, believed, here)| StoredTimes { newest, believed, here })
            .ok_or_else(|| StoreError::Failed("the database tells no time".into()))
    }

    async fn keep_time(&mut self, believed: &str) -> Result<(), StoreError> {
        let keep =
            "INSERT INTO sync_clock VALUES (1, ?1) ON CONFLICT (only_one) DO UPDATE SET believed = excluded.believed";
        self.run(statement(keep).text(believed))?;
        Ok(())
    }
}
