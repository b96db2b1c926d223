//! The changes of one request, worked through: decided in memory, written with a statement a table.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ryzed_adapters::{FieldError, Row, Table};
use serde_json::Value;

use super::super::request::ParsedChange;
use super::lineage::{Back, Held, Up};
use super::open::OpenBook;
use super::rights::{forbidden, may_do, row_has_owner, via};
use super::row_cache::{Key, RowCache};
use super::verdict::{Room, Verdict};
use super::{ATTACHED_RECORDS, Push, Stop};
use crate::store::{Query, Rights, ScopeState, Stopped, StoreError, Transaction};
use crate::sync::decide::{Cost, Decision, DecisionContext, Effect, PendingRow, decide};
use crate::sync::wire::Status;
use crate::sync::{RowId, Scope, Version};

/// The most changes that other devices get with their values, so that these are read at once.
const FEW: usize = 20;

/// The reason for refusing a change.
pub(super) enum Refusal {
    /// It is at fault.
    Fields(Vec<FieldError>),
    /// It can't be judged as long as a table is stopped.
    Waits,
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

/// The state of one run.
pub(super) struct PushRun<'p> {
    pub(super) push: &'p Push,
    pub(super) cache: RowCache,
    pub(super) floors: Vec<(Scope, Version)>,
    /// By the change's place among the fresh ones; nothing of those that wait.
    pub(super) outcomes: HashMap<usize, Decision>,
    pub(super) stopped: Arc<Stopped>,
    /// The rights that the application gives people, for the tables where it says so.
    pub(super) rights: HashMap<&'static str, Rights>,
    /// Rows that were changed, each of which is to have a new version.
    pub(super) changed: HashSet<Key>,
    /// The changes that a rule of the database refused, by their place, with the rule.
    pub(super) refused: HashMap<usize, String>,
    /// The change that is done by itself, when they are done one by one.
    pub(super) alone: Option<usize>,
    /// Rows whose changes wait for a stopped table; what builds on them waits as well.
    pub(super) waiting: HashSet<Key>,
    /// The rows of which a change was refused for now.
    pub(super) put_off: HashSet<Key>,
    /// The rows that came back for parts of them.
    pub(super) back: Vec<Back>,
    /// The rows that wait with one that was deleted elsewhere.
    pub(super) held: Held,
    pub(super) open: OpenBook,
    /// The space left for conflicts in the answer.
    pub(super) room: Room,
    /// The cost of all conflicts until now.
    pub(super) cost: Cost,
    /// The versions that were taken.
    pub(super) versions: HashMap<Key, Version>,
}

impl PushRun<'_> {
    pub(super) fn decide_all(&mut self, indices: &[usize], ready: &[&ParsedChange]) -> Result<(), Stop> {
        for index in indices {
            let change = ready[*index];
            let key: Key = (change.rank, change.id.clone());
            if self.push.is_early && !self.stands_alone(change, &key) {
                continue;
            }
            let decided = match self.put_off(change, &key) {
                _ if self.waiting.contains(&key) => Err(Refusal::Waits),
                Some(put_off) => Ok(put_off),
                None => self.decide(change, &key),
            };
            let decision = match decided {
                Ok(decision) => decision,
                Err(Refusal::Fields(errors)) => Decision::rejected(errors),
                Err(Refusal::Waits) => {
                    self.waiting.insert(key);
                    continue;
                }
            };
            if let Some(met) = &decision.conflict {
                self.spend(met.cost, ready.len() == 1)?;
            }
            self.note_put_off(&key, &decision);
            self.outcomes.insert(*index, decision);
        }
        Ok(())
    }

    fn decide(&mut self, change: &ParsedChange, key: &Key) -> Result<Decision, Refusal> {
        let table = self.push.registry.get(change.table).ok_or_else(|| forbidden("table"))?;
        let none = PendingRow::default();
        let working = self.cache.working(key).unwrap_or(&none);
        let made = working.row.is_none();
        if let Some(decision) = self.joins(change, key, table)? {
            return Ok(decision);
        }
        let working = self.cache.working(key).unwrap_or(&none);
        if !made {
            self.may_write(self.cache.scope(key), "id")?;
        }
        let around = DecisionContext {
            now: self.push.now,
            floor: self.floor(working.known.as_ref().and_then(|known| known.scope)),
            same_epoch: self.push.same_epoch,
            strategy: self.push.strategy,
            is_operators: self.push.is_operators,
            room: self.room.left,
        };
        let mut decision = decide(table, working, &change.asked, &around);
        if let Some(rights) = self.rights.get(table.name) {
            let nothing = Row::new();
            let brought = change.asked.brought().unwrap_or(&nothing);
            may_do(rights, &decision.effect, brought, made)?;
        }
        if let Some(met) = &decision.conflict {
            self.open.admit(self.push, change, met)?;
        }
        match std::mem::replace(&mut decision.effect, Effect::Leave) {
            Effect::Leave => {}
            Effect::Remove => {
                self.cache.remove(key);
                self.changed.insert(key.clone());
            }
            Effect::Put(mut set, mut brought) => {
                if self.without_gone(table, &mut set, &mut brought) && decision.status == Status::Applied {
                    decision.status = Status::Merged;
                }
                if made && let Up::Gone(above) = self.push.above(&self.cache, &self.held, change, &set) {
                    return self.hold(change, key, table, Some(set), above);
                }
                self.bring_back_above(change, table, &set)?;
                self.put_in_memory(table, key, set, brought)?;
                self.changed.insert(key.clone());
            }
        }
        let told = decision.conflict.iter().flat_map(|met| &met.fields).filter(|field| field.server.is_some());
        self.cache.told(key, told.map(|field| field.field.clone()));
        Ok(decision)
    }

    /// Sets the fields, and takes that back when the row may not become so.
    pub(super) fn put_in_memory(
        &mut self,
        table: &Table,
        key: &Key,
        mut set: Row,
        brought: HashMap<String, Value>,
    ) -> Result<(), Refusal> {
        let made = self.row(key.0, &key.1).is_none();
        if made && table.scope.has_user_id() && !row_has_owner(&set, table, brought.contains_key("user_id")) {
            set.insert("user_id".into(), self.push.caller.user.to_string().into());
        }
        let Some(replaced) = self.cache.put(key, set) else { return Err(forbidden("id").into()) };
        let is_new = |column: &str| made || brought.contains_key(column);
        let allowed = self.cache.check(table, key, &replaced, &self.push.limits);
        match allowed.map_err(Refusal::Fields).and_then(|()| self.allowed(table, key, is_new)) {
            Ok(scope) => {
                self.cache.keep(key, replaced, brought, scope);
                Ok(())
            }
            Err(refusal) => {
                self.cache.take_back(key, replaced);
                Err(refusal)
            }
        }
    }

    /// Returns the owner of the row if the caller may have it so.
    fn allowed(&self, table: &Table, key: &Key, is_new: impl Fn(&str) -> bool) -> Result<Option<Scope>, Refusal> {
        let Some(row) = self.row(key.0, &key.1) else { return Ok(None) };
        let moves = is_new("user_id") || via(table).is_some_and(&is_new);
        let scope = if moves { Some(self.owner_of(table, row)?) } else { self.cache.scope(key) };
        self.may_write(scope, table.scope.column())?;
        let former = self.working(key.0, &key.1).and_then(|working| working.known.as_ref()?.former_row());
        self.check_references(table, row, scope, former, is_new)?;
        Ok(scope)
    }

    /// Counts what a conflict takes. Values that lost have to be told and merging has to be done, so a request with too much of
    /// either is refused before anything of it is done; a single change always goes.
    fn spend(&mut self, cost: Cost, is_alone: bool) -> Result<(), Stop> {
        self.room.take(cost.told);
        self.cost.lost += cost.lost;
        self.cost.merged += cost.merged;
        let limits = &self.push.limits;
        let over = |limit: &'static str, most: usize, what: &str| {
            let detail = format!("{what} of one request may have {most} bytes; send fewer changes at once");
            Err(Stop::Limit { limit, detail })
        };
        match self.cost {
            _ if is_alone => Ok(()),
            Cost { lost, .. } if lost > limits.conflict_bytes => {
                over("conflict_bytes", limits.conflict_bytes, "the values that lose against those")
            }
            Cost { merged, .. } if merged > limits.work_bytes => {
                over("work_bytes", limits.work_bytes, "the values that are merged with those")
            }
            _ => Ok(()),
        }
    }

    /// True if the row waits for a stopped table.
    pub(super) fn waits(&self, table: &str, id: &str) -> bool {
        let rank = self.push.registry.rank(table);
        rank.is_some_and(|rank| !self.waiting.is_empty() && self.waiting.contains(&(rank, id.into())))
    }

    /// The floor of the row's scope; of the caller's own when the row is not known.
    fn floor(&self, scope: Option<Scope>) -> Version {
        let scope = scope.unwrap_or(Scope::User(self.push.caller.user));
        self.floors.iter().find(|(other, _)| *other == scope).map_or(0, |(_, floor)| *floor)
    }

    /// The results of the fresh changes, with the versions that the rows have now.
    pub(super) async fn results(
        &mut self,
        tx: &mut dyn Transaction,
        ready: &[&ParsedChange],
        before: &[ScopeState],
    ) -> Result<Vec<Option<Verdict>>, StoreError> {
        let mut tables: BTreeSet<&'static str> = ready.iter().map(|change| change.table).collect();
        let back = self.back.iter().filter_map(|back| self.push.registry.iter().nth(back.rank()));
        tables.extend(back.map(|table| table.name));
        let tables: Vec<&'static str> = tables.into_iter().collect();
        // Nobody else moves a scope that the caller holds; one that the caller may not write can be far ahead by now.
        let held: Vec<ScopeState> =
            before.iter().filter(|state| self.may_write(Some(state.scope), "").is_ok()).cloned().collect();
        self.prefetch(tx, ready.len(), &held, &tables).await?;
        for state in &held {
            for entry in tx.entries(state.scope, state.version, &tables, i64::MAX).await? {
                let Some(rank) = entry.table.and_then(|table| self.push.registry.rank(table)) else { continue };
                let newest = self.versions.entry((rank, entry.id)).or_default();
                *newest = entry.version.max(*newest);
            }
        }
        let mut unbooked = self.changed.iter().filter(|key| !self.versions.contains_key(*key)).peekable();
        if unbooked.peek().is_some() {
            tx.doubt();
        }
        // What moves no version reaches nobody. An application's rules may leave a row as it was; our own tables have none, and
        // every write moves at least the time of the last one.
        let is_ours = |key: &Key| self.push.registry.iter().nth(key.0).is_some_and(|table| !table.is_external);
        if let Some((rank, _)) = unbooked.find(|key| is_ours(key)) {
            let table = self.push.registry.iter().nth(*rank).map_or("", |table| table.name);
            tracing::error!(
                table,
                "an upload was written and moved no version; nothing of it is kept: run `ryzed verify --repair`"
            );
            tx.refuse_unbooked();
        }
        let told = ready.iter().enumerate().map(|(index, change)| {
            let decision = self.outcomes.remove(&index)?;
            Some(self.told(change, decision))
        });
        Ok(told.collect())
    }

    pub(super) fn working(&self, rank: usize, id: &RowId) -> Option<&PendingRow> {
        self.cache.working(&(rank, id.clone()))
    }

    /// The version that a row has now; none when nothing is known of it.
    pub(super) fn version(&self, key: &Key) -> Option<Version> {
        self.versions.get(key).copied().or_else(|| self.cache.known_version(key))
    }

    /// Reads, in one go after all writes, the versions, the scopes' states and the news for other devices.
    async fn prefetch(
        &self,
        tx: &mut dyn Transaction,
        changes: usize,
        held: &[ScopeState],
        tables: &[&'static str],
    ) -> Result<(), StoreError> {
        let scopes = self.push.scopes();
        let mut reads = vec![Query::Scopes(&scopes)];
        reads.extend(held.iter().map(|state| Query::Entries(state.scope, state.version, tables, i64::MAX)));
        let own = held.iter().find(|state| state.scope != Scope::Global);
        if let Some(own) = own.filter(|_| changes <= FEW) {
            reads.push(Query::Records(own.scope, own.version, ATTACHED_RECORDS));
        }
        tx.prefetch(&reads).await
    }
}
