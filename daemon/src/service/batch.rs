//! The rows that one request is about, loaded with a few statements, and kept as its changes leave them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ryzed_adapters::{PEOPLE, Registry, Row};
use serde_json::{Map, Value};

use super::request::{Ready, references};
use crate::store::{Read, RowState, StoreError, Transaction};
use crate::sync::decide::{Effect, Mine, Working};
use crate::sync::known::Known;
use crate::sync::{RowId, Scope, Version};

/// A row of a table.
pub(super) type Key = (usize, RowId);

/// The rows that a request is about, and the owners of the rows that they refer to.
pub(super) struct Batch {
    rows: HashMap<Key, Entry>,
    owners: HashMap<(String, String), Scope>,
    /// What is to be written, in the order in which it was asked for.
    dirty: Vec<Key>,
}

#[derive(Default)]
struct Entry {
    working: Working,
    /// Whose the row is now; none when it is not there.
    scope: Option<Scope>,
    is_dirty: bool,
}

impl Batch {
    /// Loads what is known: one statement a table for the rows, one for what they refer to.
    pub(super) async fn load(
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&Ready],
        scopes: &[Scope],
    ) -> Result<Self, StoreError> {
        let mut batch = Self { rows: HashMap::new(), owners: HashMap::new(), dirty: Vec::new() };
        let mut ids = ids_by_table(changes);
        for (rank, table) in registry.iter().enumerate() {
            let Some(ids) = ids.remove(&rank) else { continue };
            for state in tx.states(table, &ids, scopes).await? {
                batch.learn((rank, state.id.clone()), state);
            }
            for id in ids {
                batch.rows.entry((rank, id)).or_default();
            }
        }
        batch.load_owners(tx, registry, changes).await?;
        Ok(batch)
    }

    /// The reads that [`load`](Self::load) is about to make, as far as the changes alone tell, after those in `before`.
    pub(super) async fn foresee(
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&Ready],
        scopes: &[Scope],
        before: &[Read<'_>],
    ) -> Result<(), StoreError> {
        let ids = ids_by_table(changes);
        let mut referred: BTreeMap<&str, BTreeSet<RowId>> = BTreeMap::new();
        for change in changes {
            let Some(table) = registry.get(change.table) else { continue };
            for (_, parent, id) in references(table, &change.mutation.data).filter(is_looked_up) {
                referred.entry(parent).or_default().insert(id.into());
            }
        }
        let referred: Vec<(&str, Vec<RowId>)> =
            referred.into_iter().map(|(parent, ids)| (parent, ids.into_iter().collect())).collect();
        let mut reads = before.to_vec();
        for (rank, table) in registry.iter().enumerate() {
            reads.extend(ids.get(&rank).map(|ids| Read::States(table, ids, scopes)));
        }
        reads.extend(referred.iter().map(|(parent, ids)| Read::Owners(parent, ids)));
        tx.foresee(&reads).await
    }

    /// A row can have a live entry in one scope and a tombstone in another; the live one counts.
    fn learn(&mut self, key: Key, state: RowState) {
        let known = known(state);
        let live = known.row.is_some() && known.operation != crate::sync::Operation::Delete;
        let entry = self.rows.entry(key).or_default();
        if live || entry.working.known.as_ref().is_none_or(|other| other.row.is_none() && other.version < known.version)
        {
            entry.scope = known.row.is_some().then_some(known.scope).flatten();
            entry.working.row = known.row.clone();
            entry.working.known = Some(known);
        }
    }

    async fn load_owners(
        &mut self,
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&Ready],
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<String, BTreeSet<RowId>> = BTreeMap::new();
        for change in changes {
            let Some(table) = registry.get(change.table) else { continue };
            let known = self.rows.get(&(change.rank, change.id.clone())).and_then(|entry| entry.working.known.as_ref());
            let former = known.and_then(Known::former_row);
            for row in [Some(&change.mutation.data), former].into_iter().flatten() {
                for (_, parent, id) in references(table, row).filter(is_looked_up) {
                    wanted.entry(parent.to_owned()).or_default().insert(id.into());
                }
            }
        }
        for (parent, ids) in wanted {
            let ids: Vec<_> = ids.into_iter().collect();
            for (id, scope) in tx.owners(&parent, &ids).await? {
                self.owners.insert((parent.clone(), id.as_str().to_owned()), scope);
            }
        }
        Ok(())
    }

    /// Takes note of what the device did to a row in an earlier request and repeats in this one: what follows builds on it.
    pub(super) fn recall(&mut self, key: &Key, data: Row, made_at: Option<Version>) {
        let Some(entry) = self.rows.get_mut(key) else { return };
        let asked = data.into_iter().collect();
        entry.working.mine = mine(std::mem::take(&mut entry.working.mine), false, asked);
        entry.working.made_at = entry.working.made_at.or(made_at);
    }

    pub(super) fn working(&self, key: &Key) -> Option<&Working> {
        self.rows.get(key).map(|entry| &entry.working)
    }

    /// The version that the row, or its tombstone, had before this request.
    pub(super) fn known_version(&self, key: &Key) -> Option<Version> {
        self.rows
            .get(key)
            .and_then(|entry| entry.working.known.as_ref())
            .map(|known| known.version)
            .filter(|at| *at > 0)
    }

    /// Whose the row is now; none when it is not there.
    pub(super) fn scope(&self, key: &Key) -> Option<Scope> {
        self.rows.get(key).and_then(|entry| entry.scope)
    }

    /// Whose the row is that is referred to: as this request has left it, else as the database has it.
    pub(super) fn owner(&self, registry: &Registry, table: &str, id: &str) -> Option<Scope> {
        let in_request = registry.rank(table).and_then(|rank| self.rows.get(&(rank, id.into())));
        match in_request {
            Some(entry) => entry.scope,
            None => self.owners.get(&(table.to_owned(), id.to_owned())).copied(),
        }
    }

    /// Takes note of what is to be done to a row.
    pub(super) fn apply(&mut self, key: &Key, effect: Effect, scope: Option<Scope>) {
        let Some(entry) = self.rows.get_mut(key) else { return };
        match effect {
            Effect::Leave => return,
            Effect::Remove => {
                entry.working.row = None;
                entry.working.mine = Mine::Deleted;
            }
            Effect::Put(row, brought) => {
                let made = entry.working.row.is_none();
                entry.working.mine = mine(std::mem::take(&mut entry.working.mine), made, brought);
                entry.working.row = Some(row);
            }
        }
        entry.scope = scope;
        if !std::mem::replace(&mut entry.is_dirty, true) {
            self.dirty.push(key.clone());
        }
    }

    /// Forgets what was to be done to a row that the database refused.
    pub(super) fn undo(&mut self, key: &Key) {
        if let Some(entry) = self.rows.get_mut(key) {
            let known = entry.working.known.as_ref();
            entry.working.row = known.and_then(|known| known.row.clone());
            entry.scope = entry.working.row.as_ref().and(known).and_then(|known| known.scope);
            entry.working.mine = Mine::Untouched;
        }
    }

    /// The rows to write now, by table, parents first.
    pub(super) fn take_dirty(&mut self) -> BTreeMap<usize, Vec<RowId>> {
        let mut tables: BTreeMap<usize, Vec<RowId>> = BTreeMap::new();
        for (rank, id) in std::mem::take(&mut self.dirty) {
            if let Some(entry) = self.rows.get_mut(&(rank, id.clone())) {
                entry.is_dirty = false;
            }
            tables.entry(rank).or_default().push(id);
        }
        tables
    }
}

/// Whether the database has to be asked whose a row is that is referred to: a person is their own.
fn is_looked_up((_, parent, _): &(&str, &str, String)) -> bool {
    *parent != PEOPLE
}

fn ids_by_table(changes: &[&Ready]) -> BTreeMap<usize, Vec<RowId>> {
    let mut ids: BTreeMap<usize, BTreeSet<RowId>> = BTreeMap::new();
    for change in changes {
        ids.entry(change.rank).or_default().insert(change.id.clone());
    }
    ids.into_iter().map(|(rank, ids)| (rank, ids.into_iter().collect())).collect()
}

fn mine(before: Mine, made: bool, brought: HashMap<String, Value>) -> Mine {
    match before {
        _ if made => Mine::Made,
        Mine::Made => Mine::Made,
        Mine::Fields(mut fields) => {
            fields.extend(brought);
            Mine::Fields(fields)
        }
        Mine::Untouched | Mine::Deleted => Mine::Fields(brought),
    }
}

fn known(state: RowState) -> Known {
    let object = |json: &str| serde_json::from_str::<Map<String, Value>>(json).unwrap_or_default();
    Known {
        row: state.row.as_deref().map(|json| -> Row { object(json) }),
        scope: state.scope,
        version: state.version,
        operation: state.operation,
        field_versions: object(&state.field_versions),
        previous: object(&state.previous),
    }
}
