//! New rows of a long upload that are stored ahead of the rest, part by part, so that others' uploads go between. Each has a receipt
//! then, by which the rest knows it as it knows a retry. What is not simply stored is left to the rest, where it is judged beside
//! all that the request brings.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::Pushed;
use super::super::request::{Change, ParsedChange, references};
use super::open::OpenBook;
use super::receipt::Receipt;
use super::row_cache::Key;
use super::run::PushRun;
use super::{Push, Stop};
use crate::store::{ScopeState, Transaction};
use crate::sync::wire::{Intent, Status};

impl Push {
    /// The parts that go ahead, of `at_once` changes each, parents first; none of an upload that is short, or that is done as a
    /// whole or not at all.
    pub(in super::super) fn early(&self, at_once: usize) -> Vec<Self> {
        if self.atomic || self.is_operators || self.changes.len() <= at_once {
            return Vec::new();
        }
        let mut rows: HashMap<(usize, &str), usize> = HashMap::new();
        let mut mutations: HashMap<Uuid, usize> = HashMap::new();
        let ready: Vec<(&Change, &ParsedChange)> =
            self.changes.iter().filter_map(|change| Some((change, ready(change)?))).collect();
        for (_, change) in &ready {
            *rows.entry((change.rank, change.id.as_str())).or_default() += 1;
            change.asked.mutation_id.into_iter().for_each(|id| *mutations.entry(id).or_default() += 1);
        }
        // What is said of a row once, under a name that a retry has too.
        let is_plain = |change: &ParsedChange| {
            matches!(change.asked.operation, Intent::Insert | Intent::Upsert)
                && rows.get(&(change.rank, change.id.as_str())) == Some(&1)
                && change.asked.mutation_id.is_some_and(|id| mutations.get(&id) == Some(&1))
        };
        let order = self.order(&ready.iter().map(|(_, ready)| *ready).collect::<Vec<_>>());
        let plain: Vec<Change> =
            order.into_iter().filter(|at| is_plain(ready[*at].1)).map(|at| ready[at].0.clone()).collect();
        let part = |changes: &[Change]| Self { changes: changes.to_vec(), is_early: true, ..self.clone() };
        plain.chunks(at_once).map(part).collect()
    }

    /// Keeps the receipts of what is stored. The rest of the upload answers.
    pub(super) async fn end_early(
        &self,
        tx: &mut dyn Transaction,
        open: OpenBook,
        mut receipts: Vec<(Uuid, Receipt)>,
        before: &[ScopeState],
    ) -> Result<Pushed, Stop> {
        receipts.retain(|(_, receipt)| receipt.result.status == Status::Applied);
        self.keep(tx, open, &receipts).await?;
        let before: Vec<_> = before.iter().map(|state| (state.scope, state.version)).collect();
        self.commits(tx, Pushed::default(), &before).await
    }
}

impl PushRun<'_> {
    /// True if a row never existed, as far as is known, and all that it refers to exists: the change can only insert
    /// it.
    pub(super) fn stands_alone(&self, change: &ParsedChange, key: &Key) -> bool {
        let registry = &self.push.registry;
        let is_new = self.cache.working(key).is_none_or(|working| working.known.is_none());
        let row = registry.get(change.table).zip(change.asked.brought());
        let mut named = row.into_iter().flat_map(|(table, row)| references(table, row));
        is_new && named.all(|(_, parent, id)| self.cache.owner(registry, parent, &id).is_some())
    }
}

fn ready(change: &Change) -> Option<&ParsedChange> {
    match change {
        Change::Parsed(ready) => Some(ready),
        Change::Malformed(_) => None,
    }
}
