//! Tables that are left alone for now, because they are no longer what the daemon knows them as.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Synced tables that are neither read nor written until somebody has mended them, each with the reason and what to do, by
/// their names on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    tables: BTreeMap<&'static str, String>,
}

/// Called with the tables that are stopped, each time when they are others than before; must not block.
pub type OnStopped = Arc<dyn Fn(&Arc<Stopped>) + Send + Sync>;

impl Stopped {
    /// These tables, each with the reason and what to do.
    #[must_use]
    pub fn of(tables: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { tables: tables.into_iter().collect() }
    }

    /// True if this table is stopped.
    #[must_use]
    pub fn has(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    /// True if no table is stopped, as usual.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tables.keys().copied()
    }

    /// The reason why this table is stopped, and what to do; none when it is not.
    #[must_use]
    pub fn reason(&self, table: &str) -> Option<&str> {
        self.tables.get(table).map(String::as_str)
    }
}
