//! Rows that are refused for now and not for good: what builds on them waits with them, or the device would be told that it may
//! throw it away.

use ryzed_adapters::{FieldError, code};

use super::super::request::{ParsedChange, references};
use super::row_cache::Key;
use super::run::PushRun;
use crate::sync::decide::Decision;
use crate::sync::wire::is_for_now;

impl PushRun<'_> {
    /// Decides a change of a row, or of one that refers to it, if that row is missing only because it was refused for
    /// now.
    pub(super) fn put_off(&self, change: &ParsedChange, key: &Key) -> Option<Decision> {
        if self.put_off.is_empty() {
            return None;
        }
        let is_awaited = |key: &Key| {
            self.put_off.contains(key) && self.cache.working(key).is_none_or(|working| working.row.is_none())
        };
        let refused = |field: &str, what: &str| {
            let message = format!("{what} is refused for now; keep the change and send it again later");
            Some(Decision::rejected(vec![FieldError::new(field, code::IN_FUTURE, message)]))
        };
        if is_awaited(key) {
            return refused("id", "an earlier change that makes this row");
        }
        let registry = &self.push.registry;
        let table = registry.get(change.table)?;
        let mut named = references(table, change.asked.brought()?);
        let (column, ..) = named.find(|(_, parent, id)| {
            registry.rank(parent).is_some_and(|rank| is_awaited(&(rank, id.as_str().into())))
        })?;
        refused(column, "the row that it refers to")
    }

    /// Notes that a change was refused for now.
    pub(super) fn note_put_off(&mut self, key: &Key, decision: &Decision) {
        if is_for_now(&decision.errors) {
            self.put_off.insert(key.clone());
        }
    }
}
