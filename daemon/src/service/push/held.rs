//! Parts of a row that was deleted elsewhere, where the strategy does not let that one come back. All that a device has for it
//! waits in one open conflict of the topmost row that is gone, and comes back with it, or not, as a person decides.

use std::collections::HashMap;
use std::sync::Arc;

use ryzed_adapters::{PEOPLE, Row, ScopeRule, Strategy, Table};
use serde_json::Value;

use super::super::request::{ParsedChange, references};
use super::Push;
use super::lineage::{Above, Held, Up};
use super::rights::via;
use super::row_cache::{Key, RowCache};
use super::run::{PushRun, Refusal};
use crate::sync::decide::{Decision, OwnEdits};
use crate::sync::weight::Weight;
use crate::sync::wire::{Conflict, Intent, Part};

impl Push {
    /// Goes up from a row as far as what it is a part of is gone.
    pub(super) fn above(&self, cache: &RowCache, held: &Held, change: &ParsedChange, row: &Row) -> Up {
        let (Some(mut table), mut row) = (self.registry.get(change.table), row) else { return Up::Settled };
        let (mut top, mut stays) = (None, false);
        while let ScopeRule::Via { column, parent } = table.scope {
            let (Some(rank), Some(id)) = (self.registry.rank(parent), row.get(column).and_then(Value::as_str)) else {
                break;
            };
            let key: Key = (rank, id.into());
            if cache.owner(&self.registry, parent, id).is_some() {
                break;
            }
            if let Some(above) = held.get(&key) {
                return Up::Gone(above.clone());
            }
            let known = cache.working(&key).and_then(|working| Some((working.known.as_ref()?, &working.mine)));
            let Some((known, mine)) = known else { return Up::Unknown(key) };
            let former = known.former_row().filter(|former| !former.is_empty() && *mine != OwnEdits::Deleted);
            let next = self.registry.get(parent).filter(|above| above.takes_rows() && self.may_write(known.scope));
            let (Some(former), Some(next)) = (former, next) else { return Up::Settled };
            let strategy = self.strategy_above(change, next);
            stays |= !self.brings_back(strategy);
            top = Some(Above { key, strategy });
            (table, row) = (next, former);
        }
        top.filter(|_| stays).map_or(Up::Settled, Up::Gone)
    }

    /// The strategy that settles what becomes of a row above the one that is changed.
    pub(super) fn strategy_above(&self, change: &ParsedChange, above: &Table) -> Strategy {
        change.asked.conflict_strategy.or(self.strategy).unwrap_or(above.strategy)
    }

    pub(super) fn brings_back(&self, strategy: Strategy) -> bool {
        matches!(strategy, Strategy::ClientWins | Strategy::Merge) && self.same_epoch
    }
}

impl PushRun<'_> {
    /// Decides a further change of a waiting row; none where it is handled like any other.
    pub(super) fn joins(
        &mut self,
        change: &ParsedChange,
        key: &Key,
        table: &Table,
    ) -> Result<Option<Decision>, Refusal> {
        let is_there = |working: &crate::sync::decide::PendingRow| working.row.is_some() || working.known.is_some();
        if !self.held.contains_key(key) || self.cache.working(key).is_some_and(is_there) {
            return Ok(None);
        }
        let Some(above) = self.held.get(key).cloned() else { return Ok(None) };
        if change.asked.operation == Intent::Delete {
            self.held.remove(key);
            self.open.forget(self.push, &above, key);
            return Ok(None);
        }
        let data = match change.asked.values(false).or_else(|| change.asked.values(true)) {
            Some(Ok(data)) => data,
            Some(Err(errors)) => return Err(Refusal::Fields(errors.clone())),
            None => return Ok(None),
        };
        let waits = change.asked.operation == Intent::Update
            || matches!(self.push.above(&self.cache, &self.held, change, data), Up::Gone(_));
        if waits { self.hold(change, key, table, None, above).map(Some) } else { Ok(None) }
    }

    /// Has a row wait that is to be made so.
    pub(super) fn hold(
        &mut self,
        change: &ParsedChange,
        key: &Key,
        table: &Table,
        row: Option<Row>,
        above: Above,
    ) -> Result<Decision, Refusal> {
        if let Some(replaced) = row.and_then(|row| self.cache.put(key, row)) {
            let checked = self.cache.check(table, key, &replaced, &self.push.limits);
            self.cache.take_back(key, replaced);
            checked.map_err(Refusal::Fields)?;
        }
        self.open.admit_part(self.push, change, &above)?;
        self.held.insert(key.clone(), above);
        Ok(Decision::held())
    }

    /// The conflict reported for a change whose row waits.
    pub(super) fn waiting_in(&mut self, change: &ParsedChange) -> Option<Conflict> {
        let Above { key, strategy } = self.held.get(&(change.rank, change.id.clone()))?.clone();
        let table = self.push.registry.iter().nth(key.0)?.name.to_owned();
        let part = self.part_told(change);
        let mutation_id = change.asked.mutation_id;
        Some(Conflict {
            conflict_id: None,
            mutation_id,
            table,
            id: key.1,
            strategy,
            fields: Vec::new(),
            row: Some(None),
            parts: vec![part],
        })
    }

    /// A row that waits, with what was uploaded of it where there is room.
    pub(super) fn part_told(&mut self, change: &ParsedChange) -> Part {
        let data = change.asked.brought().filter(|data| Weight::of_row(data).bytes <= self.room.left).cloned();
        self.room.take(data.as_ref().map_or(0, |data| Weight::of_row(data).bytes));
        let mutation_id = change.asked.mutation_id;
        Part { mutation_id, table: change.table.to_owned(), id: change.id.clone(), data }
    }

    /// Empties what names a row that is gone and does not own this one: so it would have become, had it been there. Tells whether
    /// there was any.
    pub(super) fn without_gone(&self, table: &Table, set: &mut Row, brought: &mut HashMap<String, Value>) -> bool {
        let registry = Arc::clone(&self.push.registry);
        let is_gone = |parent: &str, id: &str| {
            let key = registry.rank(parent).map(|rank| (rank, id.into()));
            let working = key.and_then(|key| self.cache.working(&key));
            working.is_some_and(|working| {
                let was_deleted = working.known.as_ref().is_some_and(|known| known.former_row().is_some());
                working.row.is_none() && (was_deleted || working.mine == OwnEdits::Deleted)
            })
        };
        let gone = references(table, set).filter(|(column, parent, id)| {
            let may_be_null = table.column(column).is_some_and(|column| column.nullable && !column.read_only);
            may_be_null
                && brought.contains_key(*column)
                && Some(*column) != via(table)
                && *parent != PEOPLE
                && is_gone(parent, id)
        });
        let gone: Vec<String> = gone.map(|(column, ..)| column.to_owned()).collect();
        for column in &gone {
            set.insert(column.clone(), Value::Null);
            brought.insert(column.clone(), Value::Null);
        }
        !gone.is_empty()
    }
}

/// The conflicts of one row in which parts wait, as one.
pub(super) fn joined(conflicts: impl Iterator<Item = Conflict>) -> Vec<Conflict> {
    let (mut all, mut places): (Vec<Conflict>, HashMap<_, usize>) = (Vec::new(), HashMap::new());
    for mut conflict in conflicts {
        if conflict.parts.is_empty() {
            all.push(conflict);
            continue;
        }
        let place = *places.entry(conflict.conflict_id).or_insert(all.len());
        match all.get_mut(place) {
            Some(first) => first.parts.append(&mut conflict.parts),
            None => all.push(conflict),
        }
    }
    all
}
