//! Rows of synced tables.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::Text;
use ryzed_adapters::Table;

use super::super::json::Json;
use super::super::reads::{self, json};
use super::SqliteTransaction;
use crate::store::combine::Writer;
use crate::store::decode::{KEPT, NOT_TAKEN, StateTuple, count, owners_of, state_of, to_wire};
use crate::store::statement::statement;
use crate::store::{RowOperations, States, StoreError};
use crate::sync::{DeviceId, RowId, Scope, UserId};

#[async_trait]
impl RowOperations for SqliteTransaction<'_> {
    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError> {
        let schema = Arc::clone(self.schema);
        let wanted = reads::states(&schema, table, ids, scopes)?;
        let (mut found, mut size) = (States { rows: Vec::new(), is_whole: true }, 0);
        for row in wanted.load_iter::<StateTuple<Json>, DefaultLoadingMode>(self.connection)? {
            let Some(mut state) = state_of(row?) else { continue };
            if size > bytes {
                found.is_whole = false;
                break;
            }
            state.previous = to_wire(table, state.previous);
            size += state.size();
            found.rows.push(state);
        }
        Ok(found)
    }

    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError> {
        Ok(owners_of(self.load(reads::owners(table, ids))?))
    }

    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let by = self.writers(device);
        self.upsert_by(table, rows, &by)
    }

    async fn update(
        &mut self,
        table: &Table,
        _fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError> {
        let by = self.writers(device);
        self.update_by(table, parts, &by)
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        let by = self.writers(device);
        self.delete_by(table, ids, &by).await
    }

    async fn standing(&mut self, table: &Table, ids: &[RowId]) -> Result<Vec<RowId>, StoreError> {
        let standing = format!("SELECT id FROM {} WHERE id IN (SELECT value FROM json_each(?1))", table.name);
        let found: Vec<String> = self.load(statement::<Text>(&standing).text(json(&ids)))?;
        Ok(found.into_iter().map(RowId::from).collect())
    }

    async fn unique(&mut self, table: &Table) -> Result<Vec<Vec<String>>, StoreError> {
        let rules = "SELECT json_group_array(c.name) FROM pragma_index_list(?1) l, pragma_index_info(l.name) c \
                     WHERE l.\"unique\" AND l.origin <> 'pk' AND c.name IS NOT NULL GROUP BY l.name";
        let found: Vec<String> = self.load(statement::<Text>(rules).text(table.name))?;
        Ok(found.iter().filter_map(|columns| serde_json::from_str(columns).ok()).collect())
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        self.run(statement("SAVEPOINT upload")).map(|_| ())
    }

    async fn take_back(&mut self) -> Result<(), StoreError> {
        self.run(statement("ROLLBACK TO upload")).map(|_| ())
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        let id = user.to_string();
        let insert =
            "INSERT INTO users (id, email, created_at, updated_at) VALUES (?1, ?2, ?3, ?3) ON CONFLICT (id) DO NOTHING";
        // A rule of the operator's may say who can be a user. Who is none may still read.
        match self.attempt(statement(insert).text(&id).maybe(email).text(now), (1, 0), &[]) {
            Ok(_) | Err(StoreError::Constraint(_) | StoreError::Reference(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl SqliteTransaction<'_> {
    /// Writes whole rows, each on behalf of the device that writes its scope; all, or none and an error.
    pub(super) fn upsert_by(&mut self, table: &Table, rows: &str, by: &[Writer]) -> Result<(), StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(rows));
        let written = self.attempt(statement(&schema.of(table)?.upsert).text(rows), (wanted, wanted), by)?;
        if written < wanted { Err(StoreError::Constraint(NOT_TAKEN.into())) } else { Ok(()) }
    }

    /// Writes parts of rows; returns how many rows were there. When not all were there, none is changed.
    pub(super) fn update_by(&mut self, table: &Table, parts: &str, by: &[Writer]) -> Result<usize, StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(parts));
        self.attempt(statement(&schema.of(table)?.update).text(parts), (wanted, wanted), by)
    }

    /// Deletes rows.
    pub(super) async fn delete_by(&mut self, table: &Table, ids: &[RowId], by: &[Writer]) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let deleted = self.attempt(statement(&schema.of(table)?.delete).text(json(&ids)), (ids.len(), 0), by)?;
        if deleted == ids.len() || self.standing(table, ids).await?.is_empty() {
            return Ok(());
        }
        Err(StoreError::Constraint(KEPT.into()))
    }
}
