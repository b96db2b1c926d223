//! The changes of one request, worked through: decided in memory, written with a statement a table.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ryzed_adapters::{FieldError, Row, Strategy, Table};
use uuid::Uuid;

use super::super::batch::{Batch, Key};
use super::super::request::Ready;
use super::owner::{forbidden, may_do, owner_column, referring, row_has_owner, unknown_reference, via};
use super::{ATTACHED_RECORDS, Push, Receipt, to_json};
use crate::store::{Read, Rights, ScopeState, Stopped, StoreError, Transaction};
use crate::sync::decide::{Circumstances, Decision, Effect, Met, Mine, decide};
use crate::sync::known::Known;
use crate::sync::wire::{ChangeResult, Conflict, Status};
use crate::sync::{RowId, Scope, Version};

/// So few changes are told to others as they are, so they are read at once.
const FEW: usize = 20;
/// The code of a row that a rule of the database refused.
const CONSTRAINT: &str = "constraint";

/// Why a change is not done.
pub(super) enum Refusal {
    /// It is at fault.
    Field(FieldError),
    /// It can't be judged as long as a table is stopped.
    Waits,
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

/// The state of one run.
pub(super) struct Work<'p> {
    pub(super) push: &'p Push,
    pub(super) batch: Batch,
    pub(super) floors: Vec<(Scope, Version)>,
    /// By the change's place among the fresh ones; nothing of those that wait.
    pub(super) outcomes: HashMap<usize, Decision>,
    pub(super) stopped: Arc<Stopped>,
    /// What the application lets people do, of the tables where it says so.
    pub(super) rights: HashMap<&'static str, Rights>,
    /// Rows that were changed, each of which is to have a new version.
    pub(super) changed: HashSet<Key>,
    /// Rows whose changes wait for a stopped table; what builds on them waits as well.
    pub(super) waiting: HashSet<Key>,
}

impl Work<'_> {
    pub(super) fn decide_all(&mut self, indices: &[usize], ready: &[&Ready]) {
        for index in indices {
            let change = ready[*index];
            let key: Key = (change.rank, change.id.clone());
            let decided = if self.waiting.contains(&key) { Err(Refusal::Waits) } else { self.decide(change, &key) };
            let decision = match decided {
                Ok((mut decision, scope)) => {
                    if decision.effect != Effect::Leave {
                        self.changed.insert(key.clone());
                    }
                    self.batch.apply(&key, std::mem::replace(&mut decision.effect, Effect::Leave), scope);
                    decision
                }
                Err(Refusal::Field(error)) => Decision::rejected(vec![error]),
                Err(Refusal::Waits) => {
                    self.waiting.insert(key);
                    continue;
                }
            };
            self.outcomes.insert(*index, decision);
        }
    }

    /// The decision, and whose the row is afterwards.
    fn decide(&self, change: &Ready, key: &Key) -> Result<(Decision, Option<Scope>), Refusal> {
        let registry = &self.push.registry;
        let table = registry.get(change.table).ok_or_else(|| forbidden("table"))?;
        let working = self.batch.working(key).cloned().unwrap_or_default();
        if working.row.is_some() {
            self.may_write(self.batch.scope(key), "id")?;
        }
        let around = Circumstances {
            now: self.push.now,
            floor: self.floor(working.known.as_ref().and_then(|known| known.scope)),
            same_life: self.push.same_life,
            strategy: self.push.strategy,
            is_operators: self.push.is_operators(),
        };
        let mut decision = decide(table, &working, &change.mutation, &around);
        if let Some(rights) = self.rights.get(table.name) {
            may_do(rights, &decision.effect, &change.mutation.data, working.row.is_none())?;
        }
        let scope = match &mut decision.effect {
            Effect::Leave => self.batch.scope(key),
            Effect::Remove => None,
            Effect::Put(row, brought) => {
                let made = working.row.is_none();
                if made && table.scope.has_user_id() && !row_has_owner(row, table, brought.contains_key("user_id")) {
                    row.insert("user_id".into(), self.push.caller.user.to_string().into());
                }
                let checks_owner =
                    made || brought.contains_key("user_id") || via(table).is_some_and(|c| brought.contains_key(c));
                let scope = if checks_owner { Some(self.owner_of(table, row)?) } else { self.batch.scope(key) };
                self.may_write(scope, owner_column(table))?;
                let former = working.known.as_ref().and_then(Known::former_row);
                self.check_references(table, row, scope, former, |column| made || brought.contains_key(column))?;
                scope
            }
        };
        Ok((decision, scope))
    }

    /// Whether the row waits for a stopped table.
    pub(super) fn waits(&self, table: &str, id: &str) -> bool {
        let rank = self.push.registry.rank(table);
        rank.is_some_and(|rank| !self.waiting.is_empty() && self.waiting.contains(&(rank, id.into())))
    }

    /// The floor of the row's scope; of the caller's own when the row is not known.
    fn floor(&self, scope: Option<Scope>) -> Version {
        let scope = scope.unwrap_or(Scope::User(self.push.caller.user));
        self.floors.iter().find(|(other, _)| *other == scope).map_or(0, |(_, floor)| *floor)
    }

    /// Writes what was decided since the last time.
    pub(super) async fn write(&mut self, tx: &mut dyn Transaction, ready: &[&Ready]) -> Result<(), StoreError> {
        let dirty = self.batch.take_dirty();
        let registry = Arc::clone(&self.push.registry);
        let mut gone: Vec<(usize, &Table, Vec<RowId>)> = Vec::new();
        for (rank, table) in registry.iter().enumerate() {
            let Some(ids) = dirty.get(&rank) else { continue };
            let (puts, deletes): (Vec<RowId>, Vec<RowId>) =
                ids.iter().cloned().partition(|id| self.row(rank, id).is_some());
            self.put(tx, table, rank, &puts, ready).await?;
            if !deletes.is_empty() {
                gone.push((rank, table, deletes));
            }
        }
        for (rank, table, ids) in gone.into_iter().rev() {
            self.remove(tx, table, rank, &ids, ready).await?;
        }
        Ok(())
    }

    /// One statement; where a rule of the database refuses a row, one a row, to find out which.
    async fn put(
        &mut self,
        tx: &mut dyn Transaction,
        table: &Table,
        rank: usize,
        ids: &[RowId],
        ready: &[&Ready],
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let device = self.push.device.as_ref();
        let rows: Vec<Cow<'_, Row>> = ids.iter().filter_map(|id| self.written(table, rank, id)).collect();
        let Err(error) = tx.upsert(table, &to_json(&rows)?, device).await else { return Ok(()) };
        refusal(table, error)?;
        for id in ids {
            let Some(row) = self.written(table, rank, id) else { continue };
            if let Err(error) = tx.upsert(table, &to_json(&[row])?, device).await {
                self.refuse(table, &(rank, id.clone()), error, ready)?;
            }
        }
        Ok(())
    }

    /// The same for rows that go.
    async fn remove(
        &mut self,
        tx: &mut dyn Transaction,
        table: &Table,
        rank: usize,
        ids: &[RowId],
        ready: &[&Ready],
    ) -> Result<(), StoreError> {
        let device = self.push.device.as_ref();
        let Err(error) = tx.delete(table, ids, device).await else { return Ok(()) };
        refusal(table, error)?;
        for id in ids {
            if let Err(error) = tx.delete(table, std::slice::from_ref(id), device).await {
                self.refuse(table, &(rank, id.clone()), error, ready)?;
            }
        }
        Ok(())
    }

    /// The changes of a row that a rule of the database refused come to nothing.
    fn refuse(&mut self, table: &Table, key: &Key, error: StoreError, ready: &[&Ready]) -> Result<(), StoreError> {
        if let StoreError::Denied(_) = &error {
            tracing::error!(%error, "the daemon let through what only the database has stopped");
        }
        // Where people's rows can't be made for now, a row may lack its person's.
        let waits = matches!(error, StoreError::Reference(_)) && self.stopped.has("users");
        let refused = Decision::rejected(vec![refusal(table, error)?]);
        tracing::info!(table = table.name, "a rule of the database refused a row");
        let of_row = |change: &Ready| change.rank == key.0 && change.id == key.1;
        for (index, _) in ready.iter().enumerate().filter(|(_, change)| of_row(change)) {
            if waits {
                self.outcomes.remove(&index);
                self.waiting.insert(key.clone());
            } else {
                self.outcomes.insert(index, refused.clone());
            }
        }
        self.batch.undo(key);
        self.changed.remove(key);
        Ok(())
    }

    /// What goes to the database of a row. An application's own columns stay as they are, in every digit, unless they are
    /// brought.
    fn written(&self, table: &Table, rank: usize, id: &RowId) -> Option<Cow<'_, Row>> {
        let working = self.batch.working(&(rank, id.clone()))?;
        let row = working.row.as_ref()?;
        if !table.is_fitted {
            return Some(Cow::Borrowed(row));
        }
        let is_brought = |name: &str| match &working.mine {
            Mine::Fields(fields) => fields.contains_key(name) || matches!(name, "id" | "updated_at"),
            Mine::Untouched | Mine::Made | Mine::Deleted => true,
        };
        let mut row = row.clone();
        row.retain(|name, _| is_brought(name) && table.column(name).is_some_and(|column| !column.is_computed));
        Some(Cow::Owned(row))
    }

    fn row(&self, rank: usize, id: &RowId) -> Option<&Row> {
        self.batch.working(&(rank, id.clone())).and_then(|working| working.row.as_ref())
    }

    /// What each fresh change came to, with the versions that the rows have now.
    pub(super) async fn receipts(
        &mut self,
        tx: &mut dyn Transaction,
        ready: &[&Ready],
        before: &[ScopeState],
    ) -> Result<Vec<Option<Receipt>>, StoreError> {
        let tables: Vec<&'static str> =
            ready.iter().map(|change| change.table).collect::<BTreeSet<_>>().into_iter().collect();
        // Nobody else moves a scope that the caller holds; one that the caller may not write can be far ahead by now.
        let held: Vec<ScopeState> =
            before.iter().filter(|state| self.may_write(Some(state.scope), "").is_ok()).cloned().collect();
        self.foresee(tx, ready.len(), &held, &tables).await?;
        let mut versions: HashMap<(&'static str, RowId), Version> = HashMap::new();
        for state in &held {
            for entry in tx.entries(state.scope, state.version, &tables, i64::MAX).await? {
                let Some(table) = entry.table else { continue };
                let newest = versions.entry((table, entry.id)).or_default();
                *newest = entry.version.max(*newest);
            }
        }
        let has_version = |(rank, id): &Key| {
            tables.iter().any(|table| {
                self.push.registry.rank(table) == Some(*rank) && versions.contains_key(&(*table, id.clone()))
            })
        };
        if !self.changed.iter().all(has_version) {
            tx.doubt();
        }
        let receipts = ready.iter().enumerate().map(|(index, change)| {
            let decision = self.outcomes.remove(&index)?;
            let taken = versions.get(&(change.table, change.id.clone())).copied();
            let version = taken.or_else(|| self.batch.known_version(&(change.rank, change.id.clone())));
            Some(self.receipt(change, decision, version))
        });
        Ok(receipts.collect::<Vec<_>>())
    }

    /// What is read when all is written: the versions, where the scopes are, and what others are to be told.
    async fn foresee(
        &self,
        tx: &mut dyn Transaction,
        changes: usize,
        held: &[ScopeState],
        tables: &[&'static str],
    ) -> Result<(), StoreError> {
        let scopes = self.push.scopes();
        let mut reads = vec![Read::Scopes(&scopes)];
        reads.extend(held.iter().map(|state| Read::Entries(state.scope, state.version, tables, i64::MAX)));
        let own = held.iter().find(|state| state.scope != Scope::Global);
        if let Some(own) = own.filter(|_| changes <= FEW) {
            reads.push(Read::Records(own.scope, own.version, ATTACHED_RECORDS));
        }
        tx.foresee(&reads).await
    }

    fn receipt(&self, change: &Ready, decision: Decision, version: Option<Version>) -> Receipt {
        let conflict = decision.conflict.map(|met| self.conflict(change, met, version));
        Receipt {
            result: ChangeResult {
                mutation_id: change.mutation.mutation_id,
                status: decision.status,
                table: change.table.to_owned(),
                id: Some(change.id.clone()),
                version: version.filter(|_| decision.status != Status::Rejected),
                errors: decision.errors,
            },
            conflict,
        }
    }

    fn conflict(&self, change: &Ready, met: Met, version: Option<Version>) -> Conflict {
        let mut row = self.row(change.rank, &change.id).cloned();
        if let (Some(row), Some(version)) = (&mut row, version) {
            row.insert("_version".into(), version.into());
        }
        Conflict {
            conflict_id: (met.strategy == Strategy::Manual).then(Uuid::now_v7),
            mutation_id: change.mutation.mutation_id,
            table: change.table.to_owned(),
            id: change.id.clone(),
            strategy: met.strategy,
            fields: met.fields,
            row,
        }
    }
}

/// What a device is told of a row that a rule of the database refused.
fn refusal(table: &Table, error: StoreError) -> Result<FieldError, StoreError> {
    Ok(match error {
        StoreError::Constraint(rule) => FieldError::new("", CONSTRAINT, rule),
        // Somebody with SQL deleted it after we had looked.
        StoreError::Reference(key) => unknown_reference(referring(table, &key)),
        StoreError::Denied(_) => forbidden("id"),
        other => return Err(other),
    })
}
