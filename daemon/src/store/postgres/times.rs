//! The stored times in PostgreSQL.

use async_trait::async_trait;

use super::session::PostgresTransaction;
use super::sql::time_out;
use crate::store::StoreError;
use crate::store::decode::{TimesColumns, times_of};
use crate::store::statement::statement;
use crate::store::times::{StoredTimes, Times};

#[async_trait]
impl Times for PostgresTransaction<'_> {
    async fn times(&mut self) -> Result<StoredTimes, StoreError> {
        let sql = format!(
            "SELECT (SELECT {} FROM ryzed.scopes), (SELECT {} FROM ryzed.clock), {}",
            time_out("max(changed_at)"),
            time_out("believed"),
            time_out("clock_timestamp()")
        );
        times_of(self.load(statement::<TimesColumns>(&sql)).await?)
    }

    async fn keep_time(&mut self, believed: &str) -> Result<(), StoreError> {
        let keep = "INSERT INTO ryzed.clock (believed) VALUES (?1::timestamptz) \
            ON CONFLICT (only_one) DO UPDATE SET believed = excluded.believed";
        self.run(statement(keep).text(believed)).await.map(|_| ())
    }
}
