//! Rows of synced tables.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use ryzed_adapters::Table;

use super::super::reads::{self, ids_of};
use super::super::session::PostgresTransaction;
use super::super::wire_format::Form;
use super::length;
use crate::store::decode::{KEPT, NOT_TAKEN, NOTHING, StateTuple, count, owners_of, state_of};
use crate::store::statement::statement;
use crate::store::{RowOperations, RowState, States, StoreError};
use crate::sync::{DeviceId, RowId, Scope, UserId};

#[async_trait]
impl RowOperations for PostgresTransaction<'_> {
    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError> {
        let schema = Arc::clone(self.schema);
        let size_of = |row: &StateTuple| length(&row.1) + length(&row.5) + length(&row.6);
        let wanted = reads::states(&schema, table, ids, scopes)?;
        let (rows, is_whole): (Vec<StateTuple>, bool) = self.load_some(wanted, bytes, size_of).await?;
        let form = Form::of(&schema, table);
        let states = rows.into_iter().filter_map(state_of).map(|state| RowState {
            field_versions: form.renamed(state.field_versions),
            previous: match state.previous.as_str() {
                NOTHING => state.previous,
                noted => form.to_wire(state.operation, noted),
            },
            ..state
        });
        Ok(States { rows: states.collect(), is_whole })
    }

    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError> {
        let schema = Arc::clone(self.schema);
        // Whose they are can't be said as long as it is stopped.
        if schema.stopped.has(table) {
            return Ok(Vec::new());
        }
        Ok(owners_of(self.load(reads::owners(&schema, table, ids)?).await?))
    }

    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(rows));
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let written = self.try_run(statement(&schema.of(table)?.upsert).text(rows), wanted).await;
        // A trigger may pass over a row without a word.
        match written.map_err(|error| Form::of(&schema, table).refusal(error))? {
            written if written < wanted => Err(StoreError::Constraint(NOT_TAKEN.into())),
            _ => Ok(()),
        }
    }

    async fn update(
        &mut self,
        table: &Table,
        fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError> {
        let (schema, wanted) = (Arc::clone(self.schema), count(parts));
        let sql = schema.of(table)?;
        let (update, is_known) = match &sql.sets {
            None => (Cow::Borrowed(sql.update.as_str()), true),
            // Nothing of it is the daemon's to write.
            Some(_) if fields.is_empty() => return Ok(wanted),
            Some(sets) => sets.of(fields),
        };
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let updating = statement(&update).text(parts);
        let updated = self.try_run(if is_known { updating } else { updating.once() }, wanted).await;
        updated.map_err(|error| Form::of(&schema, table).refusal(error))
    }

    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        self.on_behalf_of(device);
        self.changed.insert(table.name);
        let deleted = self.try_run(statement(&schema.of(table)?.delete).text(ids_of(ids)), 0).await;
        let deleted = deleted.map_err(|error| Form::of(&schema, table).refusal_to_delete(error))?;
        // A row that is not deleted may have gone with another; or a trigger keeps it.
        if deleted == ids.len() || self.standing(table, ids).await?.is_empty() {
            return Ok(());
        }
        Err(StoreError::Constraint(KEPT.into()))
    }

    async fn standing(&mut self, table: &Table, ids: &[RowId]) -> Result<Vec<RowId>, StoreError> {
        let found: Vec<String> = self.load(reads::standing(table.name, ids)).await?;
        Ok(found.into_iter().map(RowId::from).collect())
    }

    async fn unique(&mut self, table: &Table) -> Result<Vec<Vec<String>>, StoreError> {
        let schema = Arc::clone(self.schema);
        let Some(place) = schema.layout.of(table.name) else { return Ok(Vec::new()) };
        let relation = place.relation();
        let found: Vec<String> = self.load(reads::unique(&relation)).await?;
        let rules = found.iter().filter_map(|columns| serde_json::from_str::<Vec<String>>(columns).ok());
        // What people's rows don't show can't be compared.
        Ok(rules.filter_map(|columns| columns.iter().map(|c| Some(place.at(c)?.name.clone())).collect()).collect())
    }

    async fn mark(&mut self) -> Result<(), StoreError> {
        self.mark_here();
        Ok(())
    }

    async fn take_back(&mut self) -> Result<(), StoreError> {
        self.back_to_mark();
        Ok(())
    }

    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError> {
        let schema = Arc::clone(self.schema);
        let Some(insert) = &schema.ensure_user else { return Ok(()) };
        self.on_behalf_of(None);
        let insert = statement(insert).text(user.to_string()).maybe(email).text(now);
        if !self.is_strict && schema.registry.get("users").is_none_or(|users| !users.is_external) {
            return self.pipeline(insert).await;
        }
        // There may be rules for who can be a user. Who is none may still read.
        match self.try_run(insert, 0).await {
            Ok(_) | Err(StoreError::Constraint(_) | StoreError::Reference(_) | StoreError::Denied(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
