//! Compares SQLite's change index with the tables.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::Text;
use ryzed_adapters::{Registry, Table};

use super::reads::json;
use super::sql::scope;
use super::transaction::SqliteTransaction;
use super::{Schema, guard, sums};
use crate::store::StoreError;
use crate::store::compare::{BlindNote, Compare, Difference};
use crate::store::statement::statement;
use crate::sync::RowId;

#[async_trait]
impl Compare for SqliteTransaction<'_> {
    async fn ids_after(&mut self, table: &str, after: Option<&RowId>, most: i64) -> Result<Vec<RowId>, StoreError> {
        let name = known(self.schema, table)?.name;
        let sql = format!(
            "SELECT id FROM (SELECT id FROM (SELECT id FROM {name} WHERE id > ?1 ORDER BY id LIMIT ?2) UNION \
             SELECT row_id FROM (SELECT row_id FROM sync_changes WHERE table_name = '{name}' AND row_id > ?1 \
             AND operation <> 'DELETE' ORDER BY row_id LIMIT ?2)) ORDER BY id LIMIT ?2"
        );
        let after = after.map_or("", RowId::as_str);
        let ids: Vec<String> = self.load(statement::<Text>(&sql).text(after).int(most))?;
        Ok(ids.into_iter().map(RowId::from).collect())
    }

    async fn differences(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Difference)>, StoreError> {
        let schema = Arc::clone(self.schema);
        // What was told since then is not told again.
        let blind_since = guard::blind_note(self.connection, table)?.map(|note| note.at).unwrap_or_default();
        let sql = differences(known(&schema, table)?, &schema.registry);
        let wanted = statement::<(Text, Text)>(&sql).text(json(&ids)).text(blind_since);
        let found: Vec<(String, String)> = self.load(wanted)?;
        Ok(found.into_iter().filter_map(|(id, word)| Some((id.into(), Difference::of(&word)?))).collect())
    }

    async fn mend(&mut self, table: &str, ids: &[RowId]) -> Result<usize, StoreError> {
        let found = self.differences(table, ids).await?;
        let (ids, registry) = (json(&found.iter().map(|(id, _)| id).collect::<Vec<_>>()), &self.schema.registry);
        let table = known(self.schema, table)?;
        let (gone, here) = (gone(table, registry), here(table, registry));
        for sql in [gone, here] {
            self.run(statement(&sql).text(&ids))?;
        }
        Ok(found.len())
    }

    async fn blind_note(&mut self, table: &str) -> Result<Option<BlindNote>, StoreError> {
        guard::blind_note(self.connection, table)
    }

    async fn settle(&mut self, table: &str, note: &BlindNote) -> Result<bool, StoreError> {
        guard::settle(self.connection, self.schema, table, note)
    }

    async fn scopes_after(&mut self, after: &str, most: i64) -> Result<Vec<String>, StoreError> {
        self.load(statement::<Text>(sums::SCOPES_AFTER).text(after).int(most))
    }

    async fn miscounted(&mut self, scopes: &[String]) -> Result<Vec<String>, StoreError> {
        self.load(statement::<Text>(&sums::miscounted()).text(json(&scopes)))
    }

    async fn recount(&mut self, scopes: &[String]) -> Result<(), StoreError> {
        for sql in sums::recount() {
            self.run(statement(&sql).text(json(&scopes)))?;
        }
        Ok(())
    }
}

fn known<'s>(schema: &'s Schema, table: &str) -> Result<&'s Table, StoreError> {
    schema.registry.get(table).ok_or_else(|| StoreError::Failed(format!("no table {table}")))
}

/// The query for the differences of the ids `?1`; rows whose entries are older than `?2` may have changed unseen.
fn differences(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    format!(
        "SELECT id, word FROM (SELECT d.id, CASE WHEN d.row_id IS NULL THEN iif(d.entries > 0, 'extra', NULL) \
         WHEN d.scope IS NULL THEN iif(d.entries > 0, 'moved', NULL) \
         WHEN d.entries = 0 THEN iif(EXISTS (SELECT 1 FROM sync_changes c WHERE c.table_name = '{name}' AND c.row_id = d.id \
             AND c.scope = d.scope), 'buried', 'missing') \
         WHEN d.entries > 1 OR NOT EXISTS (SELECT 1 FROM sync_changes c WHERE c.table_name = '{name}' AND c.row_id = d.id \
             AND c.scope = d.scope AND c.operation <> 'DELETE') THEN 'moved' \
         WHEN EXISTS (SELECT 1 FROM sync_changes c WHERE c.table_name = '{name}' AND c.row_id = d.id AND c.scope = d.scope \
             AND c.changed_at < ?2) THEN 'changed' END AS word \
         FROM (SELECT i.value AS id, t.id AS row_id, {scope} AS scope, (SELECT count(*) FROM sync_changes c \
             WHERE c.table_name = '{name}' AND c.row_id = i.value AND c.operation <> 'DELETE') AS entries \
             FROM json_each(?1) i LEFT JOIN {name} t ON t.id = i.value) d) WHERE word IS NOT NULL",
        scope = scope(table, "t", registry),
    )
}

/// Notes as deleted what the index has of the ids `?1` in scopes where the table has no such row.
fn gone(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    format!(
        "INSERT INTO sync_record (scope, table_name, row_id, operation, former) \
         SELECT c.scope, '{name}', c.row_id, 'DELETE', '{{}}' FROM json_each(?1) i JOIN sync_changes c \
         ON c.table_name = '{name}' AND c.row_id = i.value AND c.operation <> 'DELETE' \
         LEFT JOIN {name} t ON t.id = i.value WHERE t.id IS NULL OR c.scope IS NOT {scope}",
        scope = scope(table, "t", registry),
    )
}

/// Enters the rows of the ids `?1` as new where the table has them.
fn here(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    format!(
        "INSERT INTO sync_record (scope, table_name, row_id, operation) SELECT n.scope, '{name}', n.id, 'INSERT' \
         FROM (SELECT t.id, {scope} AS scope FROM json_each(?1) i JOIN {name} t ON t.id = i.value) n \
         WHERE n.scope IS NOT NULL",
        scope = scope(table, "t", registry),
    )
}
