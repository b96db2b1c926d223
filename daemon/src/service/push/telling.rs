//! Tells the device what came of its changes: results, and conflicts with the rows that they are about, as far as there is room.

use ryzed_adapters::Row;
use serde_json::Value;

use super::super::request::ParsedChange;
use super::receipt::{FieldName, Named, Noted, Receipt};
use super::row_cache::Key;
use super::run::PushRun;
use super::verdict::{LONG, Verdict};
use crate::sync::decide::{Decision, ResolvedConflict};
use crate::sync::weight::Weight;
use crate::sync::wire::{ChangeResult, Conflict, ConflictField, Status};
use crate::sync::{RowId, said};

impl PushRun<'_> {
    /// What a change came to.
    pub(super) fn told(&mut self, change: &ParsedChange, decision: Decision) -> Verdict {
        let version = self.version(&(change.rank, change.id.clone()));
        let conflict = match decision.conflict {
            Some(met) => Some(self.conflict(change, met)),
            None if decision.status == Status::Conflict => self.waiting_in(change),
            None => None,
        };
        let result = ChangeResult {
            mutation_id: change.asked.mutation_id,
            status: decision.status,
            table: change.table.to_owned(),
            id: Some(change.id.clone()),
            version: version.filter(|_| decision.status != Status::Rejected),
            errors: decision.errors,
        };
        Verdict { result, conflict }
    }

    fn conflict(&mut self, change: &ParsedChange, met: ResolvedConflict) -> Conflict {
        Conflict {
            conflict_id: None,
            mutation_id: change.asked.mutation_id,
            table: change.table.to_owned(),
            id: change.id.clone(),
            strategy: met.strategy,
            fields: met.fields,
            row: self.row_told((change.rank, change.id.clone())),
            parts: Vec::new(),
        }
    }

    /// What a change came to that was seen before; a conflict is told as the row is now.
    pub(super) fn told_again(&mut self, change: &ParsedChange, receipt: Receipt) -> Verdict {
        let conflict = receipt.conflict.map(|noted| self.noted(change, noted));
        Verdict { result: receipt.result, conflict }
    }

    fn noted(&mut self, change: &ParsedChange, noted: Noted) -> Conflict {
        if let Some(Named { table, id }) = noted.above {
            let (conflict_id, mutation_id, strategy) = (noted.conflict_id, change.asked.mutation_id, noted.strategy);
            let (fields, row, parts) = (Vec::new(), None, vec![self.part_told(change)]);
            return Conflict { conflict_id, mutation_id, table, id, strategy, fields, row, parts };
        }
        let key = (change.rank, change.id.clone());
        let mut fields = Vec::with_capacity(noted.fields.len());
        let table = self.push.registry.get(change.table);
        let travels = |name: &FieldName| table.is_some_and(|table| table.column(&name.0).is_some());
        for name in noted.fields.into_iter().filter(travels) {
            let now = self.row(key.0, &key.1).and_then(|row| row.get(&name.0)).unwrap_or(&Value::Null);
            let server = Weight::within(now, self.room.left.min(LONG)).map(|weight| (now.clone(), weight.bytes));
            self.room.take(server.as_ref().map_or(0, |(_, bytes)| *bytes));
            let server = server.map(|(value, _)| value);
            fields.push(ConflictField {
                client: Some(change.asked.brought().and_then(|row| row.get(&name.0)).cloned().unwrap_or(Value::Null)),
                field: name.0,
                base: None,
                resolved: server.clone(),
                server,
            });
        }
        Conflict {
            conflict_id: noted.conflict_id,
            mutation_id: change.asked.mutation_id,
            table: change.table.to_owned(),
            id: change.id.clone(),
            strategy: noted.strategy,
            fields,
            row: self.row_told(key),
            parts: Vec::new(),
        }
    }

    /// The row as it is now, when there is room for it: inside none when it is deleted.
    pub(super) fn row_told(&mut self, key: Key) -> Option<Option<Row>> {
        let version = self.version(&key);
        let working = self.cache.working(&key)?;
        let Some(row) = &working.row else { return Some(None) };
        if !self.room.takes(&key, working.weight()) {
            return None;
        }
        let mut row = row.clone();
        if let Some(table) = self.push.registry.iter().nth(key.0) {
            said::mark(table, &mut row);
        }
        row.extend(version.map(|version| ("_version".to_owned(), version.into())));
        Some(Some(row))
    }

    pub(super) fn row(&self, rank: usize, id: &RowId) -> Option<&Row> {
        self.cache.working(&(rank, id.clone())).and_then(|working| working.row.as_ref())
    }
}
