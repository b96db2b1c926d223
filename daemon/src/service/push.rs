//! The upload: decide each change, write them with a statement a table, keep the receipts, all in one transaction.

mod above;
mod early;
mod held;
mod lineage;
mod open;
mod order;
mod owner;
mod places;
mod put_off;
mod receipt;
mod rights;
mod row_cache;
mod run;
mod swap;
mod telling;
mod verdict;
mod write;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, MOST_ERRORS, Registry, Strategy, first_errors, format_time};
use serde::Serialize;
use uuid::Uuid;

use super::request::{Change, ParsedChange};
use super::{Committed, Pushed};
use crate::auth::Caller;
use crate::config::Limits;
use crate::store::{Query, Rights, ScopeState, StoreError, Transaction};
use crate::sync::decide::Cost;
use crate::sync::wire::{ChangeResult, Conflict, Intent, Status};
use crate::sync::{ChangeRecord, DeviceId, Scope, Version};
use held::joined;
use open::OpenBook;
use receipt::{Receipt, Seen};
use row_cache::{Key, RowCache};
use run::PushRun;
use verdict::{Room, Verdict};

/// Changes that are attached to a hint; more are read by who needs them.
const ATTACHED_RECORDS: i64 = 100;
/// Bytes of changes that are attached to a hint.
const ATTACHED_BYTES: usize = 32 << 10;
/// Errors in the answer to one request; beyond them, each change that is rejected still has its first.
const ERRORS_IN_ALL: usize = 1000;
/// The code of a change that another one of an atomic request has stopped.
const ATOMIC: &str = "atomic";

/// One upload, ready to be run in a transaction, and run again if the database asks for it.
#[derive(Clone)]
pub(super) struct Push {
    pub registry: Arc<Registry>,
    pub caller: Caller,
    pub device: Option<DeviceId>,
    pub changes: Vec<Change>,
    pub strategy: Option<Strategy>,
    pub atomic: bool,
    pub same_epoch: bool,
    /// True if the operator writes, and no device.
    pub is_operators: bool,
    /// True for a part of a long upload that goes ahead of the rest: see [`early`](Self::early).
    pub is_early: bool,
    pub now: DateTime<Utc>,
    pub limits: Arc<Limits>,
}

/// The changes of a push that one transaction handles.
struct Task<'t> {
    ready: &'t [&'t ParsedChange],
    /// The same, and those of which only a conflict is reported again.
    concerned: &'t [&'t ParsedChange],
    waiting: HashSet<Key>,
    seen: &'t Seen,
    before: &'t [ScopeState],
}

/// The reason for rolling back the transaction.
pub(super) enum Stop {
    /// One change of an atomic request was rejected.
    Atomic(Box<Pushed>),
    /// The request is beyond a named limit.
    Limit { limit: &'static str, detail: String },
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

impl Push {
    fn scopes(&self) -> [Scope; 2] {
        [Scope::Global, Scope::User(self.caller.user)]
    }

    /// Tells the transaction what is going to be read, `before` and in [`run`](Self::run).
    pub(super) async fn prefetch(&self, tx: &mut dyn Transaction, before: &[Query<'_>]) -> Result<(), StoreError> {
        let (ids, scopes, stopped) = (self.mutation_ids(), self.scopes(), tx.stopped());
        let fresh = self.fresh(&Seen::new()).into_iter().map(|(_, ready)| ready);
        let ready: Vec<&ParsedChange> = fresh.filter(|ready| !stopped.has(ready.table)).collect();
        let mut reads = before.to_vec();
        reads.push(Query::Scopes(&scopes));
        if !ids.is_empty() {
            reads.push(Query::Receipts(self.caller.user, &ids));
        }
        RowCache::prefetch(tx, &self.registry, &ready, &scopes, &self.limits, &reads).await
    }

    /// Runs in a transaction.
    pub(super) async fn run(&self, tx: &mut dyn Transaction) -> Result<Pushed, Stop> {
        self.prefetch(tx, &[]).await?;
        let seen = self.seen_before(tx).await?;
        let before = tx.scopes(&self.scopes()).await?;
        let stopped = tx.stopped();
        let (waiting, fresh): (Vec<_>, Vec<_>) =
            self.fresh(&seen).into_iter().partition(|(_, ready)| stopped.has(ready.table));
        let ready: Vec<&ParsedChange> = fresh.iter().map(|(_, ready)| *ready).collect();
        let again = self.told_again(&seen).filter(|ready| !stopped.has(ready.table));
        let concerned: Vec<&ParsedChange> = ready.iter().copied().chain(again).collect();
        let waiting = waiting.iter().map(|(_, ready)| (ready.rank, ready.id.clone())).collect();
        let task = Task { ready: &ready, concerned: &concerned, waiting, seen: &seen, before: &before };
        let mut work = self.worked(tx, &task).await?;
        let told = work.results(tx, &ready, &before).await?;
        self.end(tx, work, (fresh, told), seen, &before).await
    }

    /// Reads everything that the decisions depend on, as the database has it now.
    async fn begin(&self, tx: &mut dyn Transaction, task: &Task<'_>) -> Result<PushRun<'_>, Stop> {
        let mut cache = RowCache::load(tx, &self.registry, task.concerned, &self.scopes(), &self.limits).await?;
        self.replay_receipts(task.seen, &mut cache);
        let (open, held) = OpenBook::load(tx, self, task.ready, &cache).await?;
        Ok(PushRun {
            push: self,
            cache,
            floors: task.before.iter().map(|state| (state.scope, state.floor)).collect(),
            outcomes: HashMap::new(),
            rights: self.rights(tx, task.ready),
            waiting: task.waiting.clone(),
            put_off: HashSet::new(),
            changed: HashSet::new(),
            refused: HashMap::new(),
            alone: None,
            back: Vec::new(),
            held,
            open,
            room: Room::of(self),
            cost: Cost::default(),
            versions: HashMap::new(),
            stopped: tx.stopped(),
        })
    }

    /// Answers, and keeps what is new.
    async fn end(
        &self,
        tx: &mut dyn Transaction,
        mut work: PushRun<'_>,
        (fresh, mut told): (Vec<(usize, &ParsedChange)>, Vec<Option<Verdict>>),
        seen: Seen,
        before: &[ScopeState],
    ) -> Result<Pushed, Stop> {
        for ((_, change), told) in fresh.iter().zip(&mut told) {
            let Some(told) = told else { continue };
            if let Some(conflict) = told.conflict.as_mut().filter(|met| stays_open(met)) {
                work.open.note(self, change, conflict);
            }
        }
        let receipts = receipts(&fresh, &told);
        if self.is_early {
            return self.end_early(tx, work.open, receipts, before).await;
        }
        let retried: HashSet<Uuid> = seen.keys().copied().collect();
        let answers = self.answers(&mut work, &fresh, told, seen, &receipts);
        let waits = answers.iter().any(Option::is_none);
        let waits_for: Vec<&'static str> = if waits { work.stopped.names().collect() } else { Vec::new() };
        if self.atomic && waits {
            return Err(Stop::Waits(Box::new(Pushed { waits_for, ..Pushed::default() })));
        }
        if self.atomic && answers.iter().flatten().any(|answer| answer.result.status == Status::Rejected) {
            return Err(Stop::Atomic(Box::new(none_of(Pushed::of(answers, retried)))));
        }
        let back = work.told_back();
        self.keep(tx, work.open, &receipts).await?;
        let mut pushed = Pushed { waits_for, ..Pushed::of(answers, retried) };
        pushed.conflicts.extend(back);
        self.commits(tx, pushed, &before.iter().map(|s| (s.scope, s.version)).collect::<Vec<_>>()).await
    }

    /// The rights that the application's grants give the caller; whoever keeps the catalogue is not bound by people's.
    fn rights(&self, tx: &dyn Transaction, ready: &[&ParsedChange]) -> HashMap<&'static str, Rights> {
        let tables: HashSet<&'static str> = ready.iter().map(|change| change.table).collect();
        let bound = tables.into_iter().filter(|_| !self.caller.role.is_admin());
        bound.filter_map(|table| Some((table, tx.rights(table)?))).collect()
    }

    fn mutation_ids(&self) -> Vec<Uuid> {
        self.changes.iter().filter_map(Change::mutation_id).collect()
    }

    /// Reads the receipts of mutations seen before. An unreadable receipt leaves open whether its mutation was done.
    async fn seen_before(&self, tx: &mut dyn Transaction) -> Result<Seen, Stop> {
        let ids = self.mutation_ids();
        if ids.is_empty() {
            return Ok(Seen::new());
        }
        let kept = tx.receipts(self.caller.user, &ids).await?;
        let seen = kept.found.into_iter().map(|(id, json)| Ok((id, Receipt::read(id, &json)?)));
        let seen: Seen = seen.collect::<Result<_, StoreError>>()?;
        let most = self.limits.receipts_per_user;
        let new = ids.len().saturating_sub(seen.len());
        if new > 0 && kept.count.saturating_add(new) > most {
            let detail =
                format!("results of {most} uploads of a person are kept, for as long as deletions; come back later");
            return Err(Stop::Limit { limit: "receipts_per_user", detail });
        }
        Ok(seen)
    }

    /// Changes that were done before and met a conflict, which is reported again.
    fn told_again<'s>(&'s self, seen: &Seen) -> impl Iterator<Item = &'s ParsedChange> {
        self.changes.iter().filter_map(|change| match change {
            Change::Parsed(ready) => {
                seen.get(&ready.asked.mutation_id?)?.conflict.as_ref()?;
                Some(ready.as_ref())
            }
            Change::Malformed(_) => None,
        })
    }

    /// A change that is repeated is not done again, but those behind it build on it.
    fn replay_receipts(&self, seen: &Seen, cache: &mut RowCache) {
        for change in &self.changes {
            let Change::Parsed(ready) = change else { continue };
            let receipt = ready.asked.mutation_id.and_then(|id| seen.get(&id));
            let done = receipt.filter(|receipt| receipt.result.status != Status::Rejected);
            let (Some(receipt), Some(data)) = (done, ready.asked.brought()) else { continue };
            let made = ready.asked.base_version.is_none() && receipt.result.status == Status::Applied;
            let puts = matches!(ready.asked.operation, Intent::Insert | Intent::Upsert);
            cache.replay_receipts(
                &(ready.rank, ready.id.clone()),
                data,
                receipt.result.version.filter(|_| made && puts),
            );
        }
    }

    /// The changes to decide: readable, not seen before, each mutation once.
    fn fresh(&self, seen: &Seen) -> Vec<(usize, &ParsedChange)> {
        let mut taken = HashSet::new();
        let fresh = self.changes.iter().enumerate().filter_map(|(index, change)| match change {
            Change::Parsed(ready) => Some((index, ready.as_ref())),
            Change::Malformed(_) => None,
        });
        fresh
            .filter(|(_, ready)| ready.asked.mutation_id.is_none_or(|id| !seen.contains_key(&id) && taken.insert(id)))
            .collect()
    }

    /// The answers in the order of the changes; none to those that wait for a stopped table. What comes twice in a request, or was
    /// seen before, gets what its mutation got.
    fn answers(
        &self,
        work: &mut PushRun<'_>,
        fresh: &[(usize, &ParsedChange)],
        told: Vec<Option<Verdict>>,
        mut seen: Seen,
        receipts: &[(Uuid, Receipt)],
    ) -> Vec<Option<Verdict>> {
        let repeated = repeated(self.mutation_ids());
        seen.extend(receipts.iter().filter(|(id, _)| repeated.contains(id)).cloned());
        let told = fresh.iter().map(|(index, _)| *index).zip(told);
        let mut by_index: HashMap<usize, Verdict> = told.filter_map(|(index, told)| Some((index, told?))).collect();
        let answer = |(index, change): (usize, &Change)| match change {
            Change::Malformed(result) => Some(Verdict::of(result.clone())),
            Change::Parsed(ready) => by_index.remove(&index).or_else(|| {
                let receipt = seen.get(&ready.asked.mutation_id?)?;
                Some(work.told_again(ready, receipt.clone()))
            }),
        };
        let mut answers: Vec<Option<Verdict>> = self.changes.iter().enumerate().map(answer).collect();
        bound_errors(answers.iter_mut().flatten().map(|answer| &mut answer.result));
        answers
    }

    /// Keeps what is new: the receipts and the open conflicts, each with a statement. What was refused for want of room may be
    /// sent again.
    async fn keep(
        &self,
        tx: &mut dyn Transaction,
        open: OpenBook,
        receipts: &[(Uuid, Receipt)],
    ) -> Result<(), StoreError> {
        let now = format_time(self.now);
        let lasting = receipts.iter().filter(|(_, receipt)| !is_passing(&receipt.result));
        let kept: Vec<(Uuid, String)> =
            lasting.map(|(id, receipt)| Ok((*id, to_json(receipt)?))).collect::<Result<_, StoreError>>()?;
        if !kept.is_empty() {
            tx.keep_receipts(self.caller.user, &kept, &now).await?;
        }
        let kept = open.kept()?;
        if !kept.open.is_empty() {
            tx.keep_conflicts(self.caller.user, &kept.open, &now).await?;
        }
        for id in kept.gone {
            tx.drop_conflict(self.caller.user, id).await?;
        }
        Ok(())
    }

    /// The news for the realtime layer once this is committed.
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
            let is_everybodys = state.scope != Scope::Global || !self.registry.iter().any(|table| table.is_external);
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
    fn of(answers: Vec<Option<Verdict>>, retried: HashSet<Uuid>) -> Self {
        let (results, conflicts): (Vec<_>, Vec<_>) =
            answers.into_iter().flatten().map(|answer| (answer.result, answer.conflict)).unzip();
        Self { results, conflicts: joined(conflicts.into_iter().flatten()), retried, ..Self::default() }
    }
}

/// Limits the errors in an answer: the first of many rejected changes keep all of theirs, the others one each.
fn bound_errors<'a>(results: impl Iterator<Item = &'a mut ChangeResult>) {
    let mut left = ERRORS_IN_ALL;
    for result in results.filter(|result| !result.errors.is_empty()) {
        let most = left.clamp(1, MOST_ERRORS);
        result.errors = first_errors(std::mem::take(&mut result.errors), most);
        left = left.saturating_sub(result.errors.len());
    }
}

/// The receipts of changes that have an id.
fn receipts(fresh: &[(usize, &ParsedChange)], told: &[Option<Verdict>]) -> Vec<(Uuid, Receipt)> {
    let named =
        fresh.iter().zip(told).filter_map(|((_, change), told)| Some((change.asked.mutation_id?, told.as_ref()?)));
    named.map(|(id, told)| (id, Receipt::of(&told.result, told.conflict.as_ref()))).collect()
}

/// True if a conflict waits for a person.
fn stays_open(met: &Conflict) -> bool {
    met.strategy == Strategy::Manual || !met.parts.is_empty()
}

/// True if the same change may succeed another time.
fn is_passing(result: &ChangeResult) -> bool {
    result.is_refused_for_now() || result.errors.iter().any(|error| error.code == open::TOO_MANY)
}

/// The ids that come more than once.
fn repeated(ids: Vec<Uuid>) -> HashSet<Uuid> {
    let mut once = HashSet::with_capacity(ids.len());
    ids.into_iter().filter(|id| !once.insert(*id)).collect()
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
