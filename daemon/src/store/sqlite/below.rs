//! Parts of rows that are about to be deleted, some at a time, so that the one writer gets on.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use ryzed_adapters::{Registry, Table};

use super::reads::json;
use super::transaction::SqliteTransaction;
use crate::store::parts::{Gone, Parts};
use crate::store::statement::statement;
use crate::store::{StoreError, Transaction};
use crate::sync::{DeviceId, RowId};

#[async_trait]
impl Parts for SqliteTransaction<'_> {
    async fn delete_below(
        &mut self,
        table: &Table,
        ids: &[RowId],
        most: usize,
        device: Option<&DeviceId>,
    ) -> Result<Vec<Gone>, StoreError> {
        let registry = Arc::clone(&self.schema.registry);
        let (below, above) = (below(table.name, &registry), json(&ids));
        let mut there = 0;
        for (_, ids) in &below {
            // No further than is needed.
            let count = format!("SELECT count(*) FROM ({ids} LIMIT {})", most + 1);
            let found: Vec<i64> = self.load(statement::<BigInt>(&count).text(above.clone()))?;
            there += found.first().map_or(0, |count| usize::try_from(*count).unwrap_or(usize::MAX));
            if there > most {
                break;
            }
        }
        if there <= most {
            return Ok(Vec::new());
        }
        for (part, ids) in below {
            let some = format!("{ids} LIMIT {most}");
            let some: Vec<String> = self.load(statement::<Text>(&some).text(above.clone()))?;
            if !some.is_empty() {
                let some: Vec<RowId> = some.into_iter().map(RowId::from).collect();
                self.delete(part, &some, device).await?;
                return Ok(some.into_iter().map(|id| (part.name, id)).collect());
            }
        }
        Ok(Vec::new())
    }
}

/// The tables below one, the lowest first, each with the SQL of the ids that hang on the rows in `?1` (a JSON array).
fn below<'r>(table: &'r str, registry: &'r Registry) -> Vec<(&'r Table, String)> {
    let mut tables = Vec::new();
    let mut above = vec![(table, "SELECT value FROM json_each(?1)".to_owned())];
    while let Some((parent, ids)) = above.pop() {
        for (child, column) in registry.children_of(parent) {
            let hanging = format!("SELECT id FROM {} WHERE {column} IN ({ids})", child.name);
            tables.insert(0, (child, hanging.clone()));
            above.push((child.name, hanging));
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;

    use super::super::{Schema, SqliteSettings, SqliteStore, connect};
    use super::*;
    use crate::store::Stay;

    #[tokio::test]
    async fn so_many_go_at_once_the_lowest_first_and_few_go_with_their_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ryzed.db");
        let settings = SqliteSettings { path: path.clone(), durable: false, readers: 1, stay: Stay::Keeper };
        let registry = Arc::new(Registry::standard());
        drop(SqliteStore::open(&settings, Arc::clone(&registry), Arc::new(|| {})).unwrap());
        let mut connection = connect(&path, false).unwrap();
        connection
            .batch_execute(
                "INSERT INTO users (id) VALUES ('me');
                 INSERT INTO workout_sessions (id, user_id, name, start_time) VALUES ('a', 'me', '', '2026'), ('b', 'me', '', '2026');
                 INSERT INTO workout_exercises (id, session_id) VALUES ('1', 'a'), ('2', 'a'), ('3', 'b');
                 INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight)
                     VALUES ('x', '1', 1, 1), ('y', '2', 1, 1), ('z', '2', 1, 1), ('w', '3', 1, 1);",
            )
            .unwrap();
        let schema = Schema::new(registry);
        let mut tx = SqliteTransaction::new(&mut connection, &schema);
        let sessions = schema.registry.get("workout_sessions").unwrap();
        let mut turns = Vec::new();
        loop {
            let gone = tx.delete_below(sessions, &["a".into()], 2, None).await.unwrap();
            if gone.is_empty() {
                break;
            }
            turns.push(gone.into_iter().map(|(table, _)| table).collect::<Vec<_>>());
        }
        assert_eq!(
            turns,
            [["exercise_sets"; 2].as_slice(), &["exercise_sets"]],
            "two exercises are no more than go at once"
        );
        let left = "SELECT id FROM workout_exercises UNION ALL SELECT id FROM exercise_sets ORDER BY 1";
        let left: Vec<String> = tx.load(statement::<Text>(left)).unwrap();
        assert_eq!(left, ["1", "2", "3", "w"]);
    }
}
