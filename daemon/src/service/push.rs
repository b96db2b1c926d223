//! The upload: decide each change, write them with a statement a table, keep the receipts, all in one transaction.

mod owner;
mod work;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, Purpose, Registry, Strategy, format_time};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batch::Batch;
use super::conflicts::travelling;
use super::request::{Change, Ready};
use super::{Committed, Pushed};
use crate::auth::Caller;
use crate::store::{OpenConflict, Read, Rights, StoreError, Transaction};
use crate::sync::rounds::{Step, rounds};
use crate::sync::wire::{ChangeResult, Conflict, Intent, Status};
use crate::sync::{ChangeRecord, DeviceId, Scope, Version};
use work::Work;

/// Changes that are attached to a hint; more are read by who needs them.
const ATTACHED_RECORDS: i64 = 100;
/// Bytes of changes that are attached to a hint.
const ATTACHED_BYTES: usize = 32 << 10;
/// The code of a change that another one of an atomic request has stopped.
const ATOMIC: &str = "atomic";

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
    /// One change of an atomic request waits for a stopped table.
    Waits(Box<Pushed>),
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
    /// Whether the operator writes: only an import comes without a device.
    fn is_operators(&self) -> bool {
        self.device.is_none()
    }

    fn scopes(&self) -> [Scope; 2] {
        [Scope::Global, Scope::User(self.caller.user)]
    }

    /// Tells the transaction what is going to be read, `before` and in [`run`](Self::run).
    pub(super) async fn foresee(&self, tx: &mut dyn Transaction, before: &[Read<'_>]) -> Result<(), StoreError> {
        let (ids, scopes, stopped) = (self.mutation_ids(), self.scopes(), tx.stopped());
        let fresh = self.fresh(&HashMap::new()).into_iter().map(|(_, ready)| ready);
        let ready: Vec<&Ready> = fresh.filter(|ready| !stopped.has(ready.table)).collect();
        let mut reads = before.to_vec();
        reads.push(Read::Scopes(&scopes));
        if !ids.is_empty() {
            reads.push(Read::Receipts(self.caller.user, &ids));
        }
        Batch::foresee(tx, &self.registry, &ready, &scopes, &reads).await
    }

    /// Runs in a transaction.
    pub(super) async fn run(&self, tx: &mut dyn Transaction) -> Result<Pushed, Stop> {
        let now = format_time(self.now);
        self.foresee(tx, &[]).await?;
        let seen = self.seen_before(tx).await?;
        let before = tx.scopes(&self.scopes()).await?;
        let stopped = tx.stopped();
        let (waiting, fresh): (Vec<_>, Vec<_>) =
            self.fresh(&seen).into_iter().partition(|(_, ready)| stopped.has(ready.table));
        let ready: Vec<&Ready> = fresh.iter().map(|(_, ready)| *ready).collect();
        let mut batch = Batch::load(tx, &self.registry, &ready, &self.scopes()).await?;
        self.recall(&seen, &mut batch);
        let floors = before.iter().map(|state| (state.scope, state.floor)).collect();
        let rights = self.rights(tx, &ready);
        let waiting = waiting.iter().map(|(_, ready)| (ready.rank, ready.id.clone())).collect();
        let mut work = Work {
            push: self,
            batch,
            floors,
            outcomes: HashMap::new(),
            stopped,
            rights,
            waiting,
            changed: HashSet::new(),
        };
        let steps: Vec<Step<'_>> = ready.iter().map(|change| step(change)).collect();
        for round in rounds(&steps) {
            work.decide_all(&round.puts, &ready);
            work.write(tx, &ready).await?;
            work.decide_all(&round.deletes, &ready);
            work.write(tx, &ready).await?;
        }
        let receipts = work.receipts(tx, &ready, &before).await?;
        let retried: HashSet<Uuid> = seen.keys().copied().collect();
        let answers = self.answers(&fresh, receipts, seen);
        let waits_for = answers.iter().any(Option::is_none).then(|| work.stopped.names().next()).flatten();
        if self.atomic && waits_for.is_some() {
            return Err(Stop::Waits(Box::new(Pushed { waits_for, ..Pushed::default() })));
        }
        if self.atomic && answers.iter().flatten().any(|answer| answer.result.status == Status::Rejected) {
            return Err(Stop::Atomic(Box::new(none_of(Pushed::of(answers, retried)))));
        }
        self.keep(tx, &answers, &retried, &now).await?;
        let pushed = Pushed { waits_for, ..Pushed::of(answers, retried) };
        self.commits(tx, pushed, &before.iter().map(|s| (s.scope, s.version)).collect::<Vec<_>>()).await
    }

    /// What the application's grants let the caller do; whoever keeps the catalogue is not bound by what people may.
    fn rights(&self, tx: &dyn Transaction, ready: &[&Ready]) -> HashMap<&'static str, Rights> {
        let tables: HashSet<&'static str> = ready.iter().map(|change| change.table).collect();
        let bound = tables.into_iter().filter(|_| !self.caller.role.is_admin());
        bound.filter_map(|table| Some((table, tx.rights(table)?))).collect()
    }

    fn mutation_ids(&self) -> Vec<Uuid> {
        self.changes.iter().filter_map(Change::mutation_id).collect()
    }

    async fn seen_before(&self, tx: &mut dyn Transaction) -> Result<HashMap<Uuid, Receipt>, StoreError> {
        let ids = self.mutation_ids();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let receipts = tx.receipts(self.caller.user, &ids).await?;
        let read = |(id, json): (Uuid, String)| {
            let mut receipt: Receipt = serde_json::from_str(&json).ok()?;
            receipt.conflict = receipt.conflict.map(|conflict| travelling(conflict, &self.registry));
            Some((id, receipt))
        };
        Ok(receipts.into_iter().filter_map(read).collect())
    }

    /// A change that is repeated is not done again, but those behind it build on it.
    fn recall(&self, seen: &HashMap<Uuid, Receipt>, batch: &mut Batch) {
        for change in &self.changes {
            let Change::Ready(ready) = change else { continue };
            let receipt = ready.mutation.mutation_id.and_then(|id| seen.get(&id));
            let done = receipt.filter(|receipt| receipt.result.status != Status::Rejected);
            let (Some(receipt), Some(table)) = (done, self.registry.get(ready.table)) else { continue };
            // What it may not write it has sent back, or the change would not have been done.
            let data = table.without_read_only(ready.mutation.data.clone(), self.is_operators(), |_, _| true);
            let data = data.and_then(|data| table.accept(data, Purpose::Patch, self.now));
            let Ok(data) = data else { continue };
            let made = ready.mutation.base_version.is_none() && receipt.result.status == Status::Applied;
            let puts = matches!(ready.mutation.operation, Intent::Insert | Intent::Upsert);
            batch.recall(&(ready.rank, ready.id.clone()), data, receipt.result.version.filter(|_| made && puts));
        }
    }

    /// The changes to decide: readable, not seen before, each mutation once.
    fn fresh(&self, seen: &HashMap<Uuid, Receipt>) -> Vec<(usize, &Ready)> {
        let mut taken = HashSet::new();
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

    /// The answers in the order of the changes; none to those that wait for a stopped table.
    fn answers(
        &self,
        fresh: &[(usize, &Ready)],
        receipts: Vec<Option<Receipt>>,
        mut seen: HashMap<Uuid, Receipt>,
    ) -> Vec<Option<Receipt>> {
        let repeated = repeated(self.mutation_ids());
        let mut by_index: HashMap<usize, Receipt> = HashMap::new();
        for ((index, ready), receipt) in fresh.iter().zip(receipts) {
            let Some(receipt) = receipt else { continue };
            if let Some(id) = ready.mutation.mutation_id.filter(|id| repeated.contains(id)) {
                seen.insert(id, receipt.clone());
            }
            by_index.insert(*index, receipt);
        }
        let answer = |(index, change): (usize, &Change)| match change {
            Change::Unreadable(result) => Some(Receipt { result: result.clone(), conflict: None }),
            Change::Ready(ready) => {
                by_index.remove(&index).or_else(|| ready.mutation.mutation_id.and_then(|id| seen.get(&id).cloned()))
            }
        };
        self.changes.iter().enumerate().map(answer).collect()
    }

    /// Keeps what is new: the receipts and the open conflicts, each with a statement.
    async fn keep(
        &self,
        tx: &mut dyn Transaction,
        answers: &[Option<Receipt>],
        retried: &HashSet<Uuid>,
        now: &str,
    ) -> Result<(), StoreError> {
        let (mut receipts, mut open, mut kept) = (Vec::new(), Vec::new(), HashSet::new());
        for (change, answer) in self.changes.iter().zip(answers) {
            let (Change::Ready(ready), Some(answer)) = (change, answer) else { continue };
            let id = ready.mutation.mutation_id;
            if id.is_some_and(|id| retried.contains(&id) || !kept.insert(id)) {
                continue;
            }
            if let Some(id) = id {
                receipts.push((id, to_json(answer)?));
            }
            if let Some((conflict, id)) = answer.conflict.as_ref().and_then(|met| Some((met, met.conflict_id?))) {
                open.push(OpenConflict { id, conflict: to_json(conflict)?, mutation: to_json(&ready.mutation)? });
            }
        }
        if !receipts.is_empty() {
            tx.keep_receipts(self.caller.user, &receipts, now).await?;
        }
        if !open.is_empty() {
            tx.keep_conflicts(self.caller.user, &open, now).await?;
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
            // Of an application's catalogue not everybody may see what its keepers see.
            let is_everybodys = state.scope != Scope::Global || !self.registry.iter().any(|table| table.is_fitted);
            if is_everybodys && state.version - was <= ATTACHED_RECORDS {
                records = tx.records(state.scope, was, ATTACHED_RECORDS).await?.records;
                if records.iter().map(ChangeRecord::size).sum::<usize>() > ATTACHED_BYTES {
                    records.clear();
                }
            }
            pushed.commits.push(Committed { scope: state.scope, version: state.version, records });
        }
        Ok(pushed)
    }
}

impl Pushed {
    fn of(answers: Vec<Option<Receipt>>, retried: HashSet<Uuid>) -> Self {
        let mut pushed = Self { retried, ..Self::default() };
        for answer in answers.into_iter().flatten() {
            pushed.results.push(answer.result);
            pushed.conflicts.extend(answer.conflict);
        }
        pushed
    }
}

/// The ids that come more than once.
fn repeated(ids: Vec<Uuid>) -> HashSet<Uuid> {
    let mut once = HashSet::with_capacity(ids.len());
    ids.into_iter().filter(|id| !once.insert(*id)).collect()
}

fn step(change: &Ready) -> Step<'_> {
    Step { rank: change.rank, id: change.id.as_str(), delete: change.mutation.operation == Intent::Delete }
}

/// Nothing of an atomic request is done when one change can't be. What an earlier request has done stays done.
fn none_of(mut pushed: Pushed) -> Pushed {
    let before = |id: Option<Uuid>| id.is_some_and(|id| pushed.retried.contains(&id));
    for result in &mut pushed.results {
        if result.status != Status::Rejected && !before(result.mutation_id) {
            result.status = Status::Rejected;
            result.version = None;
            result.errors = vec![FieldError::new("", ATOMIC, "another change of this atomic request was rejected")];
        }
    }
    pushed.conflicts.retain(|conflict| before(conflict.mutation_id));
    pushed
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(error.to_string()))
}
