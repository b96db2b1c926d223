//! Compares PostgreSQL's change index with the tables, by functions of the schema `ryzed` that see all rows.

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};

use super::reads::{ids_of, list};
use super::session::PostgresTransaction;
use crate::store::StoreError;
use crate::store::compare::{BlindNote, Compare, Difference};
use crate::store::statement::statement;
use crate::sync::RowId;

#[async_trait]
impl Compare for PostgresTransaction<'_> {
    async fn ids_after(&mut self, table: &str, after: Option<&RowId>, most: i64) -> Result<Vec<RowId>, StoreError> {
        let ask = "SELECT i::text FROM ryzed.ids_after(?1, ?2::uuid, ?3) i";
        let wanted = statement::<Text>(ask).text(table).maybe(after.map(RowId::as_str)).int(most);
        let ids: Vec<String> = self.load(wanted).await?;
        Ok(ids.into_iter().map(RowId::from).collect())
    }

    async fn differences(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Difference)>, StoreError> {
        let ask = "SELECT d.id::text, d.kind FROM ryzed.differences(?1, ?2::uuid[]) d";
        let found: Vec<(String, String)> =
            self.load(statement::<(Text, Text)>(ask).text(table).text(ids_of(ids))).await?;
        Ok(found.into_iter().filter_map(|(id, word)| Some((id.into(), Difference::of(&word)?))).collect())
    }

    async fn mend(&mut self, table: &str, ids: &[RowId]) -> Result<usize, StoreError> {
        let mend = statement::<BigInt>("SELECT ryzed.mend_rows(?1, ?2::uuid[])").text(table).text(ids_of(ids));
        Ok(usize::try_from(self.number(mend).await?).unwrap_or(0))
    }

    async fn switch_on(&mut self, table: &str) -> Result<(), StoreError> {
        self.run(statement("SELECT ryzed.switch_on(?1)").text(table)).await?;
        Ok(())
    }

    async fn blind_note(&mut self, table: &str) -> Result<Option<BlindNote>, StoreError> {
        let ask = "SELECT n.at, n.reason FROM ryzed.blind_note(?1) n";
        let found: Vec<(String, String)> = self.load(statement::<(Text, Text)>(ask).text(table)).await?;
        Ok(found.into_iter().next().map(|(at, reason)| BlindNote { at, reason }))
    }

    async fn settle(&mut self, table: &str, note: &BlindNote) -> Result<bool, StoreError> {
        let ask = "SELECT ryzed.settle(?1, ?2::timestamptz)::int::bigint";
        Ok(self.number(statement::<BigInt>(ask).text(table).text(note.at.as_str())).await? > 0)
    }

    async fn scopes_after(&mut self, after: &str, most: i64) -> Result<Vec<String>, StoreError> {
        let ask = "SELECT s.scope FROM ryzed.scopes s WHERE s.scope > ?1 ORDER BY s.scope LIMIT ?2";
        self.load(statement::<Text>(ask).text(after).int(most)).await
    }

    async fn miscounted(&mut self, scopes: &[String]) -> Result<Vec<String>, StoreError> {
        self.load(statement::<Text>("SELECT t FROM ryzed.miscounted(?1::text[]) t").text(list(scopes))).await
    }

    async fn recount(&mut self, scopes: &[String]) -> Result<(), StoreError> {
        self.run(statement("SELECT ryzed.recount(?1::text[])").text(list(scopes))).await?;
        Ok(())
    }
}
