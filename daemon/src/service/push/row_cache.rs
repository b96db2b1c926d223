//! The rows that one request is about, loaded with a few statements, and kept as its changes leave them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ryzed_adapters::{FieldError, PEOPLE, Registry, Row, ScopeRule, Table};
use serde_json::Value;
use uuid::Uuid;

use super::super::request::{ParsedChange, references};
use super::Stop;
use crate::config::Limits;
use crate::store::{Query, RowState, StoreError, Transaction};
use crate::sync::decide::{PendingRow, Replaced, check};
use crate::sync::said;
use crate::sync::stored_row::StoredRow;
use crate::sync::weight::Weight;
use crate::sync::{Operation, RowId, Scope, Version};

/// A row of a table.
pub(super) type Key = (usize, RowId);

/// The rows that a request is about, and the owners of the rows that they refer to.
pub(super) struct RowCache {
    rows: HashMap<Key, Entry>,
    owners: HashMap<(String, String), Scope>,
    /// The rows to write, in the order in which they were changed.
    dirty: Vec<Key>,
    /// The bytes that the rows take in memory, as they were loaded.
    weight: usize,
}

#[derive(Default)]
struct Entry {
    working: PendingRow,
    /// The row's owner now; none when the row does not exist.
    scope: Option<Scope>,
    is_dirty: bool,
}

/// A row at some moment of the work.
pub(super) struct Kept(Option<(PendingRow, Option<Scope>)>);

impl RowCache {
    /// Loads what is known: one statement a table for the rows, one for what they refer to. A request whose rows are too much
    /// together is stopped; a single one always goes.
    pub(super) async fn load(
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&ParsedChange],
        scopes: &[Scope],
        limits: &Limits,
    ) -> Result<Self, Stop> {
        let mut cache = Self { rows: HashMap::new(), owners: HashMap::new(), dirty: Vec::new(), weight: 0 };
        let mut ids = ids_by_table(changes);
        for (rank, table) in registry.iter().enumerate() {
            let Some(ids) = ids.remove(&rank) else { continue };
            let states = tx.states(table, &ids, scopes, limits.work_bytes).await?;
            for state in states.rows {
                cache.learn((rank, state.id.clone()), state);
                if cache.weight > limits.work_bytes && cache.rows.len() > 1 {
                    return Err(too_heavy(limits));
                }
            }
            if !states.is_whole {
                return Err(too_heavy(limits));
            }
            for id in ids {
                cache.rows.entry((rank, id)).or_default();
            }
        }
        cache.load_owners(tx, registry, changes).await?;
        cache.load_gone(tx, registry, changes, (scopes, limits)).await?;
        Ok(cache)
    }

    /// The reads that [`load`](Self::load) is about to make, as far as the changes alone tell, after those in `before`.
    pub(super) async fn prefetch(
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&ParsedChange],
        scopes: &[Scope],
        limits: &Limits,
        before: &[Query<'_>],
    ) -> Result<(), StoreError> {
        let ids = ids_by_table(changes);
        let mut referred: BTreeMap<&str, BTreeSet<RowId>> = BTreeMap::new();
        for change in changes {
            let (Some(table), Some(row)) = (registry.get(change.table), change.asked.brought()) else { continue };
            for (_, parent, id) in references(table, row).filter(is_looked_up) {
                referred.entry(parent).or_default().insert(id.into());
            }
        }
        let referred: Vec<(&str, Vec<RowId>)> =
            referred.into_iter().map(|(parent, ids)| (parent, ids.into_iter().collect())).collect();
        let mut reads = before.to_vec();
        for (rank, table) in registry.iter().enumerate() {
            reads.extend(ids.get(&rank).map(|ids| Query::States(table, ids, scopes, limits.work_bytes)));
        }
        reads.extend(referred.iter().map(|(parent, ids)| Query::Owners(parent, ids)));
        tx.prefetch(&reads).await
    }

    /// A row can have a live entry in one scope and a tombstone in another; the live one counts.
    fn learn(&mut self, key: Key, state: RowState) {
        let (known, row) = known(state);
        self.weight += Weight::of_row(&known.previous).memory;
        let entry = self.rows.entry(key).or_default();
        let other = entry.working.known.as_ref();
        let is_newer = other.is_none_or(|other| !other.is_live && other.version < known.version);
        if (known.is_live && known.operation != Operation::Delete) || is_newer {
            entry.scope = known.scope.filter(|_| known.is_live);
            entry.working = PendingRow::of(known, row);
            self.weight += entry.working.weight().memory;
        }
    }

    async fn load_owners(
        &mut self,
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&ParsedChange],
    ) -> Result<(), StoreError> {
        let rows = changes.iter().filter_map(|change| {
            let known = self.rows.get(&(change.rank, change.id.clone())).and_then(|entry| entry.working.known.as_ref());
            let rows = [change.asked.brought(), known.and_then(StoredRow::former_row)];
            Some((registry.get(change.table)?, rows))
        });
        let rows: Vec<(&Table, Row)> = rows
            .flat_map(|(table, rows)| rows.into_iter().flatten().map(move |row| (table, named_by(table, row))))
            .collect();
        self.load_owners_of(tx, rows.iter().map(|(table, row)| (*table, row))).await
    }

    /// The owners of what these rows refer to.
    async fn load_owners_of<'r>(
        &mut self,
        tx: &mut dyn Transaction,
        rows: impl Iterator<Item = (&'r Table, &'r Row)>,
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<String, BTreeSet<RowId>> = BTreeMap::new();
        for (table, row) in rows {
            for (_, parent, id) in references(table, row).filter(is_looked_up) {
                wanted.entry(parent.to_owned()).or_default().insert(id.into());
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

    /// Looks at rows that others refer to and that are not there: they may have been deleted, and come back. Nothing is read
    /// where all are there.
    async fn load_gone(
        &mut self,
        tx: &mut dyn Transaction,
        registry: &Registry,
        changes: &[&ParsedChange],
        (scopes, limits): (&[Scope], &Limits),
    ) -> Result<(), Stop> {
        let brought = changes.iter().filter_map(|change| Some((registry.get(change.table)?, change.asked.brought()?)));
        let deleted = changes.iter().filter_map(|change| {
            let known = self.rows.get(&(change.rank, change.id.clone()))?.working.known.as_ref()?;
            Some((registry.get(change.table)?, known.former_row()?))
        });
        let rows = brought.chain(deleted);
        let mut missing: BTreeSet<Key> =
            rows.filter_map(|(table, row)| self.missing_above(registry, table, row)).collect();
        let brought = changes.iter().filter_map(|change| Some((registry.get(change.table)?, change.asked.brought()?)));
        missing.extend(brought.flat_map(|(table, row)| self.missing(registry, table, row)));
        let stopped = tx.stopped();
        while !missing.is_empty() {
            let mut above = BTreeSet::new();
            for (rank, ids) in by_rank(std::mem::take(&mut missing)) {
                let table = registry.iter().nth(rank).filter(|table| !stopped.has(table.name));
                let Some(table) = table else { continue };
                let states = tx.states(table, &ids, scopes, limits.work_bytes).await?;
                if !states.is_whole {
                    return Err(too_heavy(limits));
                }
                for state in states.rows {
                    self.learn((rank, state.id.clone()), state);
                }
                let former =
                    |id: &RowId| self.rows.get(&(rank, id.clone()))?.working.known.as_ref()?.former_row().cloned();
                let former: Vec<Row> = ids.iter().filter_map(former).collect();
                self.load_owners_of(tx, former.iter().map(|row| (table, row))).await?;
                above.extend(former.iter().filter_map(|row| self.missing_above(registry, table, row)));
            }
            missing = above;
        }
        if self.weight > limits.work_bytes && self.rows.len() > 1 { Err(too_heavy(limits)) } else { Ok(()) }
    }

    /// The rows that this one refers to, of which nothing was read, and which are not there.
    fn missing(&self, registry: &Registry, table: &Table, row: &Row) -> Vec<Key> {
        let key = |(_, parent, id): (&str, &str, String)| {
            let key = (registry.rank(parent)?, RowId::from(id.as_str()));
            (!self.rows.contains_key(&key) && self.owner(registry, parent, &id).is_none()).then_some(key)
        };
        references(table, row).filter(is_looked_up).filter_map(key).collect()
    }

    /// The row that this one is a part of, when it is not there and nothing of it was read.
    fn missing_above(&self, registry: &Registry, table: &Table, row: &Row) -> Option<Key> {
        let ScopeRule::Via { column, parent } = table.scope else { return None };
        let id = Uuid::try_parse(row.get(column)?.as_str()?).ok()?.to_string();
        let key = (registry.rank(parent)?, RowId::from(id.as_str()));
        (!self.rows.contains_key(&key) && self.owner(registry, parent, &id).is_none()).then_some(key)
    }

    /// Takes note of what the device did to a row in an earlier request and repeats in this one: what follows builds on it.
    pub(super) fn replay_receipts(&mut self, key: &Key, asked: &Row, made_at: Option<Version>) {
        let Some(entry) = self.rows.get_mut(key) else { return };
        entry.working.ask(false, asked.clone().into_iter().collect());
        entry.working.made_at = entry.working.made_at.or(made_at);
    }

    pub(super) fn working(&self, key: &Key) -> Option<&PendingRow> {
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

    /// The row's owner now; none when the row does not exist.
    pub(super) fn scope(&self, key: &Key) -> Option<Scope> {
        self.rows.get(key).and_then(|entry| entry.scope)
    }

    /// The owner of a referenced row: as this request has left it, else as the database has it.
    pub(super) fn owner(&self, registry: &Registry, table: &str, id: &str) -> Option<Scope> {
        let in_request = registry.rank(table).and_then(|rank| self.rows.get(&(rank, id.into())));
        match in_request {
            Some(entry) => entry.scope,
            None => self.owners.get(&(table.to_owned(), id.to_owned())).copied(),
        }
    }

    /// Sets fields of a row, or makes it; none when the row is none of this cache. What was replaced is kept or taken back.
    pub(super) fn put(&mut self, key: &Key, fields: Row) -> Option<Replaced> {
        Some(self.rows.get_mut(key)?.working.put(fields))
    }

    /// Holds a row that was changed to the rules of its table and to its bounds.
    pub(super) fn check(
        &self,
        table: &Table,
        key: &Key,
        replaced: &Replaced,
        limits: &Limits,
    ) -> Result<(), Vec<FieldError>> {
        let most = Weight { bytes: limits.row_bytes, values: limits.row_values, memory: 0 };
        self.rows.get(key).map_or(Ok(()), |entry| check(table, &entry.working, replaced, most))
    }

    /// Undoes a [`put`](Self::put).
    pub(super) fn take_back(&mut self, key: &Key, replaced: Replaced) {
        if let Some(entry) = self.rows.get_mut(key) {
            entry.working.take_back(replaced);
        }
    }

    /// Takes note that what was put is to be written.
    pub(super) fn keep(
        &mut self,
        key: &Key,
        replaced: Replaced,
        brought: HashMap<String, Value>,
        scope: Option<Scope>,
    ) {
        self.change(key, scope, |working| working.keep(replaced, brought));
    }

    /// Takes note that a row is to be deleted.
    pub(super) fn remove(&mut self, key: &Key) {
        self.change(key, None, PendingRow::remove);
    }

    /// Takes note that these fields of a row were told in a conflict.
    pub(super) fn told(&mut self, key: &Key, fields: impl Iterator<Item = String>) {
        if let Some(entry) = self.rows.get_mut(key) {
            entry.working.told.extend(fields);
        }
    }

    /// Forgets what was to be done to a row that the database refused.
    pub(super) fn undo(&mut self, key: &Key) {
        if let Some(entry) = self.rows.get_mut(key) {
            entry.working.reset();
            let known = entry.working.known.as_ref();
            entry.scope = entry.working.row.as_ref().and(known).and_then(|known| known.scope);
        }
    }

    /// A row as it is now, to come back to.
    pub(super) fn kept(&self, key: &Key) -> Kept {
        Kept(self.rows.get(key).map(|entry| (entry.working.clone(), entry.scope)))
    }

    /// Makes a row what it was.
    pub(super) fn come_back(&mut self, key: &Key, kept: Kept) {
        if let (Some(entry), Kept(Some((working, scope)))) = (self.rows.get_mut(key), kept) {
            entry.working = working;
            entry.scope = scope;
        }
    }

    /// Takes note that the database has a row as it is now.
    pub(super) fn wrote(&mut self, key: &Key) {
        if let Some(entry) = self.rows.get_mut(key) {
            entry.working.wrote();
        }
    }

    fn change(&mut self, key: &Key, scope: Option<Scope>, change: impl FnOnce(&mut PendingRow)) {
        let Some(entry) = self.rows.get_mut(key) else { return };
        change(&mut entry.working);
        entry.scope = scope;
        if !std::mem::replace(&mut entry.is_dirty, true) {
            self.dirty.push(key.clone());
        }
    }

    /// The rows to write now, by table, parents first.
    pub(super) fn drain_dirty(&mut self) -> BTreeMap<usize, Vec<RowId>> {
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

/// True if the owner of a referenced row must be read from the database: a person is their own.
fn is_looked_up((_, parent, _): &(&str, &str, String)) -> bool {
    *parent != PEOPLE
}

/// The values of a row's reference columns.
fn named_by(table: &Table, row: &Row) -> Row {
    let named = table.references().filter_map(|(column, _)| Some((column.to_owned(), row.get(column)?.clone())));
    named.collect()
}

fn by_rank(keys: BTreeSet<Key>) -> BTreeMap<usize, Vec<RowId>> {
    let mut ranks: BTreeMap<usize, Vec<RowId>> = BTreeMap::new();
    for (rank, id) in keys {
        ranks.entry(rank).or_default().push(id);
    }
    ranks
}

fn ids_by_table(changes: &[&ParsedChange]) -> BTreeMap<usize, Vec<RowId>> {
    let mut ids: BTreeMap<usize, BTreeSet<RowId>> = BTreeMap::new();
    for change in changes {
        ids.entry(change.rank).or_default().insert(change.id.clone());
    }
    ids.into_iter().map(|(rank, ids)| (rank, ids.into_iter().collect())).collect()
}

fn known(state: RowState) -> (StoredRow, Option<Row>) {
    let object = |json: &str| said::object(json);
    let row = state.row.as_deref().map(object);
    let known = StoredRow {
        is_live: row.is_some(),
        scope: state.scope,
        version: state.version,
        operation: state.operation,
        field_versions: object(&state.field_versions),
        previous: object(&state.previous),
    };
    (known, row)
}

fn too_heavy(limits: &Limits) -> Stop {
    let most = limits.work_bytes;
    let detail = format!("the rows that a request changes may take {most} bytes together; send fewer changes at once");
    Stop::Limit { limit: "work_bytes", detail }
}
