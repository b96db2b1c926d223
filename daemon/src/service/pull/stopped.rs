//! A download while tables are stopped: it skips their changes and sends them later.

use ryzed_adapters::Registry;

use super::super::{Service, ServiceError};
use super::Pull;
use crate::store::{Access, Passed, StoreError, Transaction};
use crate::sync::wire::SyncResponse;
use crate::sync::{Cursor, Scope, Version};

/// The tables that a pull can tell of, and those that are stopped.
pub(super) struct Served {
    pub tables: Vec<&'static str>,
    pub stopped: Vec<&'static str>,
}

/// The result of a pull.
pub(in super::super) struct Pulled {
    pub answer: SyncResponse,
    /// To be noted before the answer goes out.
    pub passed: Vec<Passed>,
}

/// The ranges of stopped tables' changes that a client skips which goes on from there to `reached`.
pub(super) fn passed(from: &Cursor, reached: &[(Scope, Version)], tables: &[&'static str]) -> Vec<Passed> {
    let moved = reached.iter().filter(|(scope, upto)| *upto > from.at(*scope));
    moved
        .map(|(scope, upto)| Passed { scope: *scope, after: from.at(*scope), upto: *upto, tables: tables.to_vec() })
        .collect()
}

/// Those of `tables` (empty: all) that go on, and of which something is still owed since they were stopped, perhaps by another
/// instance.
pub(super) async fn untold(
    tx: &mut dyn Transaction,
    registry: &Registry,
    tables: &[&'static str],
    scopes: &[Scope],
) -> Result<Vec<&'static str>, StoreError> {
    let (owed, stopped) = (tx.untold(scopes).await?, tx.stopped());
    let known = owed.iter().filter_map(|name| Some(registry.get(name)?.name));
    Ok(known.filter(|name| !stopped.has(name) && (tables.is_empty() || tables.contains(name))).collect())
}

impl Pull {
    /// The tables that can be told of, and those that can't be for now. None means all, as ever.
    pub(super) fn served(&self, tx: &dyn Transaction) -> Result<Served, StoreError> {
        let stopped = tx.stopped();
        if stopped.is_empty() {
            return Ok(Served { tables: self.tables.clone(), stopped: Vec::new() });
        }
        let wanted = self.registry.iter().map(|table| table.name);
        let wanted = wanted.filter(|name| self.tables.is_empty() || self.tables.contains(name));
        let (stopped, tables): (Vec<_>, Vec<_>) = wanted.partition(|name| stopped.has(name));
        match stopped.first().filter(|_| tables.is_empty()) {
            // Nothing at all could be told: an empty answer would look like empty tables.
            Some(table) => Err(StoreError::Stopped(table)),
            None => Ok(Served { tables, stopped }),
        }
    }
}

impl Service {
    /// Notes what a device is not given, so that it gets it when the tables go on.
    pub(in super::super) async fn pass_over(&self, passed: Vec<Passed>) -> Result<(), ServiceError> {
        if passed.is_empty() {
            return Ok(());
        }
        self.store
            .write(Access::Daemon, move |tx| {
                let passed = passed.clone();
                Box::pin(async move { Ok(tx.pass_over(&passed).await?) })
            })
            .await
    }
}
