//! Parts of rows that an upload deletes. Where there are many, they are deleted ahead of the rows, a few at a time, so that others'
//! uploads go between. Each time the deletion is judged anew, so nothing goes of a row that stays; and where it stays in the end
//! all the same, its parts come back.

use std::collections::{BTreeMap, HashSet};

use ryzed_adapters::{Registry, Row, ScopeRule, Table};

use super::super::Pushed;
use super::super::request::{Change, ParsedChange};
use super::row_cache::{Key, known};
use super::{Push, Stop, Task, to_json};
use crate::store::parts::Gone;
use crate::store::{StoreError, Transaction};
use crate::sync::RowId;
use crate::sync::wire::Intent;

/// The most parts of one upload that go ahead. More go with their rows.
pub(in super::super) const MOST_AHEAD: usize = 100_000;

/// Parts that are made again at once.
const AT_ONCE: usize = 1000;

impl Push {
    /// The deletions of rows that may have parts, by themselves; none where something else of the upload could concern those, or all
    /// of it is done as a whole or not at all.
    pub(in super::super) fn with_parts(&self) -> Option<Self> {
        if self.atomic || self.is_operators {
            return None;
        }
        let is_delete = |ready: &ParsedChange| ready.asked.operation == Intent::Delete;
        let puts: HashSet<usize> = self.ready().filter(|ready| !is_delete(ready)).map(|ready| ready.rank).collect();
        let is_clear = |ready: &ParsedChange| {
            let below = ranks_below(ready.table, &self.registry);
            !below.is_empty() && below.iter().chain([&ready.rank]).all(|rank| !puts.contains(rank))
        };
        let changes: Vec<Change> = self
            .changes
            .iter()
            .filter(|change| matches!(change, Change::Parsed(ready) if is_delete(ready) && is_clear(ready)))
            .cloned()
            .collect();
        (!changes.is_empty()).then(|| Self { changes, ..self.clone() })
    }

    /// Deletes a few of the parts of the rows that this upload is about to delete; stops where there are no more than that.
    pub(in super::super) async fn clear(
        &self,
        tx: &mut dyn Transaction,
        at_once: usize,
    ) -> Result<(Pushed, Vec<Gone>), Stop> {
        self.prefetch(tx, &[]).await?;
        let (seen, before) = (self.seen_before(tx).await?, tx.scopes(&self.scopes()).await?);
        let stopped = tx.stopped();
        let fresh = self.fresh(&seen).into_iter().map(|(_, ready)| ready);
        let ready: Vec<&ParsedChange> = fresh.filter(|ready| !stopped.has(ready.table)).collect();
        if ready.is_empty() {
            return Err(Stop::Nothing);
        }
        let task = Task { ready: &ready, concerned: &ready, waiting: HashSet::new(), seen: &seen, before: &before };
        let mut work = self.begin(tx, &task).await?;
        work.decide_all(&(0..ready.len()).collect::<Vec<_>>(), &ready)?;
        let mut going: BTreeMap<usize, Vec<RowId>> = BTreeMap::new();
        for change in &ready {
            let key: Key = (change.rank, change.id.clone());
            if work.changed.contains(&key) && work.cache.working(&key).is_some_and(|working| working.row.is_none()) {
                going.entry(change.rank).or_default().push(key.1);
            }
        }
        for (rank, ids) in going {
            let Some(table) = self.registry.iter().nth(rank) else { continue };
            let gone = tx.delete_below(table, &ids, at_once, self.device.as_ref()).await?;
            if !gone.is_empty() {
                let before: Vec<_> = before.iter().map(|state| (state.scope, state.version)).collect();
                return Ok((self.commits(tx, Pushed::default(), &before).await?, gone));
            }
        }
        Err(Stop::Nothing)
    }

    /// Runs behind [`clear`](Self::clear): what `gone` was a part of is gone afterwards, or has its parts back.
    pub(in super::super) async fn run_behind(&self, tx: &mut dyn Transaction, gone: &[Gone]) -> Result<Pushed, Stop> {
        if gone.is_empty() {
            return self.run(tx).await;
        }
        let before: Vec<_> = tx.scopes(&self.scopes()).await?.iter().map(|s| (s.scope, s.version)).collect();
        let mut pushed = self.run(tx).await?;
        if self.bring_back(tx, gone).await? == 0 {
            return Ok(pushed);
        }
        pushed.commits.clear();
        self.commits(tx, pushed, &before).await
    }

    /// Runs where what came behind [`clear`](Self::clear) was not done: what `gone` was a part of has its parts back.
    pub(in super::super) async fn give_back(&self, tx: &mut dyn Transaction, gone: &[Gone]) -> Result<Pushed, Stop> {
        let before: Vec<_> = tx.scopes(&self.scopes()).await?.iter().map(|s| (s.scope, s.version)).collect();
        self.bring_back(tx, gone).await?;
        self.commits(tx, Pushed::default(), &before).await
    }

    /// Makes those parts again whose parent is there; how many.
    async fn bring_back(&self, tx: &mut dyn Transaction, gone: &[Gone]) -> Result<usize, StoreError> {
        let mut made = 0;
        // Parents first.
        for table in self.registry.iter() {
            let ids: Vec<RowId> =
                gone.iter().filter(|(name, _)| *name == table.name).map(|(_, id)| id.clone()).collect();
            let ScopeRule::Via { column, parent } = table.scope else { continue };
            let Some(parent) = self.registry.get(parent) else { continue };
            for ids in ids.chunks(AT_ONCE) {
                let rows = self.former(tx, table, ids).await?;
                let above = |row: &Row| Some(RowId::from(row.get(column)?.as_str()?));
                let parents: HashSet<RowId> = rows.iter().filter_map(above).collect();
                let there = tx.standing(parent, &parents.into_iter().collect::<Vec<_>>()).await?;
                let there: HashSet<RowId> = there.into_iter().collect();
                let is_there = |row: &Row| above(row).is_some_and(|id| there.contains(&id));
                let rows: Vec<Row> = rows.into_iter().filter(is_there).collect();
                if !rows.is_empty() {
                    tx.upsert(table, &to_json(&rows)?, self.device.as_ref()).await?;
                    made += rows.len();
                }
            }
        }
        Ok(made)
    }

    /// What rows were that are gone.
    async fn former(&self, tx: &mut dyn Transaction, table: &Table, ids: &[RowId]) -> Result<Vec<Row>, StoreError> {
        let states = tx.states(table, ids, &self.scopes(), usize::MAX).await?;
        let gone = states.rows.into_iter().filter(|state| state.row.is_none());
        Ok(gone.filter_map(|state| known(state).0.former_row().cloned()).collect())
    }

    fn ready(&self) -> impl Iterator<Item = &ParsedChange> {
        self.changes.iter().filter_map(|change| match change {
            Change::Parsed(ready) => Some(ready.as_ref()),
            Change::Malformed(_) => None,
        })
    }
}

/// The places of the tables whose rows go with those of one.
fn ranks_below(table: &str, registry: &Registry) -> HashSet<usize> {
    let mut ranks = HashSet::new();
    let mut above = vec![table];
    while let Some(parent) = above.pop() {
        for (child, _) in registry.children_of(parent) {
            ranks.extend(registry.rank(child.name));
            above.push(child.name);
        }
    }
    ranks
}
