//! The upload: decide each change, write them with a statement a table, keep the receipts, all in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, Registry, Row, ScopeRule, Strategy, Table, code, format_time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::batch::{Batch, Key};
use super::request::{Change, Ready, references};
use super::{Committed, Pushed};
use crate::auth::Caller;
use crate::store::{OpenConflict, StoreError, Transaction};
use crate::sync::decide::{Circumstances, Decision, Effect, Met, decide};
use crate::sync::rounds::{Step, rounds};
use crate::sync::wire::{ChangeResult, Conflict, Intent, Status};
use crate::sync::{ChangeRecord, DeviceId, RowId, Scope, Version};

/// Changes that are attached to a hint; more are read by who needs them.
const ATTACHED_RECORDS: i64 = 100;
/// Bytes of changes that are attached to a hint.
const ATTACHED_BYTES: usize = 32 << 10;
/// The code of a change that another one of an atomic request has stopped.
const ATOMIC: &str = "atomic";
/// The code of a row that a rule of the database refused.
const CONSTRAINT: &str = "constraint";

/// One upload, ready to be run in a transaction, and run again if the database asks for it.
pub(super) struct Push {
    pub registry: Arc<Registry>,
    pub caller: Caller,
    pub device: Option<DeviceId>,
    pub changes: Vec<Change>,
    pub strategy: Option<Strategy>,
    pub atomic: bool,
    pub same_life: bool,
    pub now: DateTime<Utc>,
}

/// Why the transaction is rolled back.
pub(super) enum Stop {
    /// One change of an atomic request was rejected.
    Atomic(Box<Pushed>),
    /// The database failed.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a mutation got, kept so that a retry gets the same.
#[derive(Clone, Serialize, Deserialize)]
struct Receipt {
    result: ChangeResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<Conflict>,
}

impl Push {
    fn scopes(&self) -> [Scope; 2] {
        [Scope::Global, Scope::User(self.caller.user)]
    }

    /// Runs in a transaction.
    pub(super) async fn run(&self, tx: &mut dyn Transaction) -> Result<Pushed, Stop> {
        let now = format_time(self.now);
        let seen = self.seen_before(tx).await?;
        let before = tx.scopes(&self.scopes()).await?;
        let fresh: Vec<(usize, &Ready)> = self.fresh(&seen);
        let ready: Vec<&Ready> = fresh.iter().map(|(_, ready)| *ready).collect();
        let batch = Batch::load(tx, &self.registry, &ready, &self.scopes()).await?;
        let floors = before.iter().map(|state| (state.scope, state.floor)).collect();
        let mut work = Work { push: self, batch, floors, outcomes: HashMap::new() };
        let steps: Vec<Step<'_>> = ready.iter().map(|change| step(change)).collect();
        for round in rounds(&steps) {
            work.decide_all(&round.puts, &ready);
            work.write(tx, &ready).await?;
            work.decide_all(&round.deletes, &ready);
            work.write(tx, &ready).await?;
        }
        let receipts = work.receipts(tx, &ready).await?;
        let pushed = self.collect(&fresh, receipts, seen);
        if self.atomic && pushed.results.iter().any(|result| result.status == Status::Rejected) {
            return Err(Stop::Atomic(Box::new(stopped(pushed))));
        }
        self.keep(tx, &pushed, &now).await?;
        self.commits(tx, pushed, &before.iter().map(|s| (s.scope, s.version)).collect::<Vec<_>>()).await
    }

    async fn seen_before(&self, tx: &mut dyn Transaction) -> Result<HashMap<Uuid, Receipt>, StoreError> {
        let ids: Vec<Uuid> = self.changes.iter().filter_map(Change::mutation_id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let receipts = tx.receipts(self.caller.user, &ids).await?;
        Ok(receipts.into_iter().filter_map(|(id, json)| Some((id, serde_json::from_str(&json).ok()?))).collect())
    }

    /// The changes to decide: readable, not seen before, each mutation once.
    fn fresh(&self, seen: &HashMap<Uuid, Receipt>) -> Vec<(usize, &Ready)> {
        let mut taken = std::collections::HashSet::new();
        let fresh = self.changes.iter().enumerate().filter_map(|(index, change)| match change {
            Change::Ready(ready) => Some((index, ready.as_ref())),
            Change::Unreadable(_) => None,
        });
        fresh
            .filter(|(_, ready)| {
                ready.mutation.mutation_id.is_none_or(|id| !seen.contains_key(&id) && taken.insert(id))
            })
            .collect()
    }

    /// The answers in the order of the changes.
    fn collect(&self, fresh: &[(usize, &Ready)], receipts: Vec<Receipt>, mut seen: HashMap<Uuid, Receipt>) -> Pushed {
        let known: Vec<Uuid> = seen.keys().copied().collect();
        let mut by_index: HashMap<usize, Receipt> = HashMap::new();
        for ((index, ready), receipt) in fresh.iter().zip(receipts) {
            if let Some(id) = ready.mutation.mutation_id {
                seen.insert(id, receipt.clone());
            }
            by_index.insert(*index, receipt);
        }
        let mut pushed = Pushed::default();
        for (index, change) in self.changes.iter().enumerate() {
            let receipt = match change {
                Change::Unreadable(result) => Some(Receipt { result: result.clone(), conflict: None }),
                Change::Ready(ready) => {
                    by_index.remove(&index).or_else(|| ready.mutation.mutation_id.and_then(|id| seen.get(&id).cloned()))
                }
            };
            let Some(receipt) = receipt else { continue };
            pushed.results.push(receipt.result);
            pushed.conflicts.extend(receipt.conflict);
        }
        pushed.retried = known;
        pushed
    }

    async fn keep(&self, tx: &mut dyn Transaction, pushed: &Pushed, now: &str) -> Result<(), StoreError> {
        let conflict_of = |id: Uuid| pushed.conflicts.iter().find(|conflict| conflict.mutation_id == Some(id)).cloned();
        let mut receipts = Vec::new();
        for (change, result) in self.changes.iter().zip(&pushed.results) {
            let Change::Ready(ready) = change else { continue };
            let Some(id) = ready.mutation.mutation_id.filter(|id| !pushed.retried.contains(id)) else { continue };
            let receipt = Receipt { result: result.clone(), conflict: conflict_of(id) };
            receipts.push((id, to_json(&receipt)?));
        }
        if !receipts.is_empty() {
            tx.keep_receipts(self.caller.user, &receipts, now).await?;
        }
        for (change, result) in self.changes.iter().zip(&pushed.results) {
            let Change::Ready(ready) = change else { continue };
            let open = pushed.conflicts.iter().find(|conflict| {
                conflict.conflict_id.is_some()
                    && conflict.mutation_id == result.mutation_id
                    && Some(&conflict.id) == result.id.as_ref()
            });
            let retried = result.mutation_id.is_some_and(|id| pushed.retried.contains(&id));
            let Some((conflict, id)) = open.and_then(|open| Some((open, open.conflict_id?))).filter(|_| !retried)
            else {
                continue;
            };
            let open = OpenConflict { id, conflict: to_json(conflict)?, mutation: to_json(&ready.mutation)? };
            tx.keep_conflict(self.caller.user, &open, now).await?;
        }
        Ok(())
    }

    /// What the living part of the daemon is told once this is committed.
    async fn commits(
        &self,
        tx: &mut dyn Transaction,
        mut pushed: Pushed,
        before: &[(Scope, Version)],
    ) -> Result<Pushed, Stop> {
        for state in tx.scopes(&self.scopes()).await? {
            let was = before.iter().find(|(scope, _)| *scope == state.scope).map_or(0, |(_, version)| *version);
            pushed.scopes.insert(state.scope, state.version);
            if state.version == was {
                continue;
            }
            let mut records = Vec::new();
            if state.version - was <= ATTACHED_RECORDS {
                records = tx.records(state.scope, was, ATTACHED_RECORDS).await?;
                if records.iter().map(ChangeRecord::size).sum::<usize>() > ATTACHED_BYTES {
                    records.clear();
                }
            }
            pushed.commits.push(Committed { scope: state.scope, version: state.version, records });
        }
        Ok(pushed)
    }
}

/// The state of one run.
struct Work<'p> {
    push: &'p Push,
    batch: Batch,
    floors: Vec<(Scope, Version)>,
    /// By the change's place among the fresh ones.
    outcomes: HashMap<usize, Decision>,
}

impl Work<'_> {
    fn decide_all(&mut self, indices: &[usize], ready: &[&Ready]) {
        for index in indices {
            let change = ready[*index];
            let key: Key = (change.rank, change.id.clone());
            let decision = match self.decide(change, &key) {
                Ok((decision, scope)) => {
                    self.batch.apply(&key, decision.effect.clone(), scope);
                    decision
                }
                Err(error) => Decision::rejected(vec![error]),
            };
            self.outcomes.insert(*index, decision);
        }
    }

    /// The decision, and whose the row is afterwards.
    fn decide(&self, change: &Ready, key: &Key) -> Result<(Decision, Option<Scope>), FieldError> {
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
        };
        let mut decision = decide(table, &working, &change.mutation, &around);
        let scope = match &mut decision.effect {
            Effect::Leave => self.batch.scope(key),
            Effect::Remove => None,
            Effect::Put(row, brought) => {
                let made = working.row.is_none();
                if made && table.scope.has_user_id() && !row_has_owner(row, table, brought.contains("user_id")) {
                    row.insert("user_id".into(), self.push.caller.user.to_string().into());
                }
                let checks_owner =
                    made || brought.contains("user_id") || via(table).is_some_and(|c| brought.contains(c));
                let scope = if checks_owner { Some(self.owner_of(table, row)?) } else { self.batch.scope(key) };
                self.may_write(scope, owner_column(table))?;
                self.check_references(table, row, scope, |column| made || brought.contains(column))?;
                scope
            }
        };
        Ok((decision, scope))
    }

    /// The floor of the row's scope; of the caller's own when the row is not known.
    fn floor(&self, scope: Option<Scope>) -> Version {
        let scope = scope.unwrap_or(Scope::User(self.push.caller.user));
        self.floors.iter().find(|(other, _)| *other == scope).map_or(0, |(_, floor)| *floor)
    }

    fn may_write(&self, scope: Option<Scope>, field: &str) -> Result<(), FieldError> {
        let allowed = match scope {
            Some(Scope::User(user)) => user == self.push.caller.user,
            Some(Scope::Global) => self.push.caller.role.is_admin(),
            None => false,
        };
        if allowed { Ok(()) } else { Err(forbidden(field)) }
    }

    fn owner_of(&self, table: &Table, row: &Row) -> Result<Scope, FieldError> {
        let user = |column: &str| match row.get(column) {
            None | Some(Value::Null) => Ok(Scope::Global),
            Some(Value::String(id)) => format!("user:{id}").parse().map_err(|_| forbidden(column)),
            Some(_) => Err(forbidden(column)),
        };
        match table.scope {
            ScopeRule::Person => user("id"),
            ScopeRule::Owner | ScopeRule::OwnerOrGlobal => user("user_id"),
            ScopeRule::Via { column, parent } => {
                let id = row.get(column).and_then(Value::as_str).unwrap_or_default();
                self.batch.owner(&self.push.registry, parent, id).ok_or_else(|| unknown_reference(column))
            }
        }
    }

    /// What a row refers to must be its owner's or the catalogue's.
    fn check_references(
        &self,
        table: &Table,
        row: &Row,
        scope: Option<Scope>,
        is_new: impl Fn(&str) -> bool,
    ) -> Result<(), FieldError> {
        for (column, parent, id) in references(table, row).filter(|(column, _, _)| is_new(column)) {
            let owner = self.batch.owner(&self.push.registry, parent, &id).ok_or_else(|| unknown_reference(column))?;
            if owner != Scope::Global && Some(owner) != scope {
                return Err(forbidden(column));
            }
        }
        Ok(())
    }

    /// Writes what was decided since the last time.
    async fn write(&mut self, tx: &mut dyn Transaction, ready: &[&Ready]) -> Result<(), StoreError> {
        let dirty = self.batch.take_dirty();
        let registry = Arc::clone(&self.push.registry);
        let device = self.push.device.as_ref();
        let mut gone: Vec<(&Table, Vec<RowId>)> = Vec::new();
        for (rank, table) in registry.iter().enumerate() {
            let Some(ids) = dirty.get(&rank) else { continue };
            let (puts, deletes): (Vec<RowId>, Vec<RowId>) =
                ids.iter().cloned().partition(|id| self.row(rank, id).is_some());
            self.put(tx, table, rank, &puts, ready).await?;
            if !deletes.is_empty() {
                gone.push((table, deletes));
            }
        }
        for (table, ids) in gone.into_iter().rev() {
            tx.delete(table, &ids, device).await?;
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
        let rows: Vec<&Row> = ids.iter().filter_map(|id| self.row(rank, id)).collect();
        match tx.upsert(table, &to_json(&rows)?, device).await {
            Err(StoreError::Constraint(_)) => {}
            other => return other,
        }
        for id in ids {
            let Some(row) = self.row(rank, id) else { continue };
            let Err(StoreError::Constraint(rule)) = tx.upsert(table, &to_json(&[row])?, device).await else { continue };
            tracing::info!(table = table.name, "a rule of the database refused a row");
            let refused = Decision::rejected(vec![FieldError::new("", CONSTRAINT, rule)]);
            for (index, _) in ready.iter().enumerate().filter(|(_, change)| change.rank == rank && change.id == *id) {
                self.outcomes.insert(index, refused.clone());
            }
            self.batch.undo(&(rank, id.clone()));
        }
        Ok(())
    }

    fn row(&self, rank: usize, id: &RowId) -> Option<&Row> {
        self.batch.working(&(rank, id.clone())).and_then(|working| working.row.as_ref())
    }

    /// What each fresh change came to, with the versions that the rows have now.
    async fn receipts(&mut self, tx: &mut dyn Transaction, ready: &[&Ready]) -> Result<Vec<Receipt>, StoreError> {
        let mut ids: BTreeMap<&str, Vec<RowId>> = BTreeMap::new();
        for change in ready {
            ids.entry(change.table).or_default().push(change.id.clone());
        }
        let mut versions: HashMap<(&str, RowId), Version> = HashMap::new();
        for (table, ids) in ids {
            for (id, version) in tx.versions(table, &ids, &self.push.scopes()).await? {
                versions.insert((table, id), version);
            }
        }
        let receipts = ready.iter().enumerate().map(|(index, change)| {
            let decision = self.outcomes.remove(&index).unwrap_or_else(|| Decision::rejected(vec![forbidden("id")]));
            let version = versions.get(&(change.table, change.id.clone())).copied();
            self.receipt(change, decision, version)
        });
        Ok(receipts.collect::<Vec<_>>())
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

fn step(change: &Ready) -> Step<'_> {
    Step { rank: change.rank, id: change.id.as_str(), delete: change.mutation.operation == Intent::Delete }
}

/// Nothing of an atomic request is done when one change can't be.
fn stopped(mut pushed: Pushed) -> Pushed {
    for result in &mut pushed.results {
        if result.status != Status::Rejected {
            result.status = Status::Rejected;
            result.version = None;
            result.errors = vec![FieldError::new("", ATOMIC, "another change of this atomic request was rejected")];
        }
    }
    pushed.conflicts.clear();
    pushed
}

/// Whether a new row says whose it is. In the catalogue's tables only an explicit null means the catalogue.
fn row_has_owner(row: &Row, table: &Table, brought: bool) -> bool {
    match row.get("user_id") {
        Some(Value::Null) | None => brought && table.scope == ScopeRule::OwnerOrGlobal,
        Some(_) => true,
    }
}

fn via(table: &Table) -> Option<&'static str> {
    match table.scope {
        ScopeRule::Via { column, .. } => Some(column),
        _ => None,
    }
}

/// The field to name when the owner is at fault.
fn owner_column(table: &Table) -> &'static str {
    match table.scope {
        ScopeRule::Person => "id",
        ScopeRule::Owner | ScopeRule::OwnerOrGlobal => "user_id",
        ScopeRule::Via { column, .. } => column,
    }
}

fn forbidden(field: &str) -> FieldError {
    FieldError::new(field, code::FORBIDDEN, "not yours to write or to refer to")
}

fn unknown_reference(column: &str) -> FieldError {
    FieldError::new(column, code::INVALID_REFERENCE, "refers to a row that does not exist")
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(error.to_string()))
}
