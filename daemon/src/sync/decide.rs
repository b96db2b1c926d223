//! What becomes of one upload: the rules of conflict, as one function of what is known and what is asked.
//!
//! Nothing in here looks anything up. Who owns a row and whether a reference is good is `push`'s business.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use ryzed_adapters::{Column, FieldError, Merge, Purpose, Row, Strategy, Table, code, format_time};
use serde_json::Value;

use super::ids::Version;
use super::known::Known;
use super::wire::{ConflictField, Intent, Mutation, Status};

/// A row while the changes of one request are worked through.
#[derive(Debug, Clone, Default)]
pub struct Working {
    /// What the database knew when the request began.
    pub known: Option<Known>,
    /// The row as the request's earlier changes have left it.
    pub row: Option<Row>,
    /// What this request itself has done: such fields are no other device's edits.
    pub mine: Mine,
    /// The version at which the device itself made the row, when the request repeats the change that did.
    pub made_at: Option<Version>,
}

/// What a request itself has done to a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mine {
    /// Nothing yet.
    #[default]
    Untouched,
    /// Asked for these values, which later changes of the request build on.
    Fields(HashMap<String, Value>),
    /// Made the row.
    Made,
    /// Deleted it.
    Deleted,
}

/// What does not depend on the row.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// The time that writes are stamped with.
    pub now: DateTime<Utc>,
    /// The newest time that is known, which is later where the clock is behind.
    pub newest: DateTime<Utc>,
    /// Up to here tombstones of the row's scope are gone.
    pub floor: Version,
    /// Whether the client's base versions are of this database's life.
    pub same_life: bool,
    /// The request's strategy.
    pub strategy: Option<Strategy>,
    /// Whether it is the operator who writes, and no device.
    pub is_operators: bool,
}

/// What to do with the row, and what to tell the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to do.
    pub effect: Effect,
    /// What to say.
    pub status: Status,
    /// Why it was rejected.
    pub errors: Vec<FieldError>,
    /// The conflict that was met.
    pub conflict: Option<Met>,
}

/// What to do with a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Nothing.
    Leave,
    /// Store this row; with the values that the change brought.
    Put(Row, HashMap<String, Value>),
    /// Delete it.
    Remove,
}

/// A conflict, and what settled it.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// What settled it.
    pub strategy: Strategy,
    /// Field by field.
    pub fields: Vec<ConflictField>,
}

impl Decision {
    /// Not done, for these reasons.
    #[must_use]
    pub fn rejected(errors: Vec<FieldError>) -> Self {
        Self { effect: Effect::Leave, status: Status::Rejected, errors, conflict: None }
    }

    fn refused(field: &str, code: &str, message: &str) -> Self {
        Self::rejected(vec![FieldError::new(field, code, message)])
    }

    fn done(effect: Effect, status: Status) -> Self {
        Self { effect, status, errors: Vec::new(), conflict: None }
    }

    fn settled(effect: Effect, strategy: Strategy, fields: Vec<ConflictField>) -> Self {
        let conflict = Some(Met { strategy, fields });
        Self { effect, status: Status::Conflict, errors: Vec::new(), conflict }
    }
}

/// Decides what becomes of `mutation`.
#[must_use]
pub fn decide(table: &Table, working: &Working, mutation: &Mutation, around: &Circumstances) -> Decision {
    let case = Case {
        table,
        working,
        base: mutation.base_version.or(working.made_at),
        strategy: mutation.conflict_strategy.or(around.strategy).unwrap_or(table.strategy),
        around,
    };
    // What is gone already, or was made by this request, can be deleted whatever the client had seen.
    let needs_no_base = mutation.operation == Intent::Delete && (working.row.is_none() || working.mine == Mine::Made);
    if !around.same_life && mutation.base_version.is_some() && !needs_no_base {
        return case.stale();
    }
    let decision = match mutation.operation {
        Intent::Delete => case.delete(),
        intent => case.write(intent, mutation.data.clone()),
    };
    case.checked(decision)
}

struct Case<'a> {
    table: &'a Table,
    working: &'a Working,
    base: Option<Version>,
    strategy: Strategy,
    around: &'a Circumstances,
}

impl Case<'_> {
    fn delete(&self) -> Decision {
        let Some(row) = &self.working.row else {
            return Decision::done(Effect::Leave, Status::Applied);
        };
        let Some(known) = self.edited_elsewhere() else {
            return Decision::done(Effect::Remove, Status::Applied);
        };
        if !self.around.same_life {
            return self.stale();
        }
        let goes = self.strategy == Strategy::ClientWins;
        let fields = row
            .iter()
            .filter(|(field, _)| is_own(field) && Some(known.field_version(field)) > self.base)
            .map(|(field, server)| ConflictField {
                field: field.clone(),
                base: self.base_value(field).unwrap_or(Value::Null),
                server: server.clone(),
                client: Value::Null,
                resolved: if goes { Value::Null } else { server.clone() },
            })
            .collect();
        Decision::settled(if goes { Effect::Remove } else { Effect::Leave }, self.strategy, fields)
    }

    fn write(&self, intent: Intent, data: Row) -> Decision {
        let exists = self.working.row.is_some();
        let whole = intent == Intent::Insert || (intent == Intent::Upsert && !exists && !self.is_tombstone());
        let purpose = if whole { Purpose::Whole } else { Purpose::Patch };
        let is_sent_back = |column: &Column, value: &Value| self.is_sent_back(column, value);
        let data = self.table.without_read_only(data, self.around.is_operators, is_sent_back);
        let data = match data.and_then(|data| self.table.accept(data, purpose, self.around.newest)) {
            Ok(data) => data,
            Err(errors) => return Decision::rejected(errors),
        };
        match &self.working.row {
            Some(row) => self.edit(row, data),
            None if self.is_tombstone() => self.edit_deleted(intent, data),
            None => self.make(intent, data),
        }
    }

    /// Whether a client that writes whole objects merely sends back what it got, now or at the version that it edits; of a new
    /// row it got nothing.
    fn is_sent_back(&self, column: &Column, value: &Value) -> bool {
        let (known, name) = (self.working.known.as_ref(), column.name.as_str());
        let current = self.working.row.as_ref().or_else(|| known.and_then(Known::former_row));
        let Some(value) = column.kind.canonical(value.clone()) else { return false };
        match current.and_then(|row| row.get(name)) {
            Some(current) if *current == value => true,
            None if value.is_null() => true,
            _ => self.base_value(name) == Some(value),
        }
    }

    /// Edits a row that is there.
    fn edit(&self, row: &Row, data: Row) -> Decision {
        let mut next = row.clone();
        let mut brought = HashMap::new();
        let mut fields = Vec::new();
        for (field, client) in data {
            let server = row.get(&field).cloned().unwrap_or(Value::Null);
            if server == client && !self.adds_up(&field, &server) {
                continue;
            }
            brought.insert(field.clone(), client.clone());
            let value = if self.may_set(&field, &server) {
                client
            } else {
                let conflict = self.settle(field.clone(), server, client);
                let resolved = conflict.resolved.clone();
                fields.push(conflict);
                resolved
            };
            next.insert(field, value);
        }
        let effect = if next == *row { Effect::Leave } else { Effect::Put(next, brought) };
        if !fields.is_empty() {
            return Decision::settled(effect, self.strategy, fields);
        }
        let merged = effect != Effect::Leave && self.edited_elsewhere().is_some();
        Decision::done(effect, if merged { Status::Merged } else { Status::Applied })
    }

    /// Edits a row that was deleted.
    fn edit_deleted(&self, intent: Intent, data: Row) -> Decision {
        let known = self.working.known.as_ref();
        let saw_it_go = known.is_some_and(|known| self.base >= Some(known.version));
        if intent != Intent::Update && (self.working.mine == Mine::Deleted || saw_it_go) {
            return self.make(intent, data);
        }
        if self.working.mine == Mine::Deleted {
            return Decision::refused("id", code::NOT_FOUND, "the row was deleted earlier in this request");
        }
        let comes_back = matches!(self.strategy, Strategy::ClientWins | Strategy::Merge);
        let former = known.and_then(Known::former_row).cloned().unwrap_or_default();
        let fields = data
            .iter()
            .filter(|(field, _)| is_own(field))
            .map(|(field, client)| ConflictField {
                field: field.clone(),
                base: self.base_value(field).unwrap_or(Value::Null),
                server: Value::Null,
                client: client.clone(),
                resolved: if comes_back { client.clone() } else { Value::Null },
            })
            .collect();
        if !comes_back {
            return Decision::settled(Effect::Leave, self.strategy, fields);
        }
        let brought = brought(&data);
        let mut row = former;
        row.extend(data);
        self.table.complete(&mut row, self.around.now);
        Decision::settled(Effect::Put(row, brought), self.strategy, fields)
    }

    /// Makes a row that the server knows nothing of.
    fn make(&self, intent: Intent, mut data: Row) -> Decision {
        let forgotten = self.base.is_some_and(|base| base > 0 && base <= self.around.floor);
        if forgotten && self.working.known.is_none() {
            return self.stale();
        }
        if intent == Intent::Update {
            return Decision::refused("id", code::NOT_FOUND, "there is no such row");
        }
        if !self.table.takes_rows() && !self.around.is_operators {
            return Decision::refused("id", code::READ_ONLY, "rows of this table are made by others than devices");
        }
        let brought = brought(&data);
        self.table.complete(&mut data, self.around.now);
        let required = |column: &&Column| column.required && data.get(&column.name).is_none_or(Value::is_null);
        let missing: Vec<_> = self
            .table
            .columns
            .iter()
            .filter(required)
            .map(|column| FieldError::new(&column.name, code::REQUIRED, "must be given"))
            .collect();
        if missing.is_empty() {
            Decision::done(Effect::Put(data, brought), Status::Applied)
        } else {
            Decision::rejected(missing)
        }
    }

    /// Stamps what is to be stored, and holds it to the table's rules that span fields.
    fn checked(&self, mut decision: Decision) -> Decision {
        if let Effect::Put(row, _) = &mut decision.effect {
            if let Err(errors) = self.table.check(row) {
                return Decision::rejected(errors);
            }
            if self.table.column("updated_at").is_some() {
                row.insert("updated_at".into(), format_time(self.around.now).into());
            }
        }
        decision
    }

    /// Whether the client's value of `field` stands against no edit that it has not seen.
    fn may_set(&self, field: &str, server: &Value) -> bool {
        if self.working.mine == Mine::Made {
            return true;
        }
        // It builds on what this request asked for before; if it did not get that, the conflict goes on.
        if let Some(asked) = self.asked_before(field) {
            return asked == server;
        }
        match (&self.working.known, self.base) {
            (Some(known), Some(base)) => known.field_version(field) <= base,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Two sides that each counted one up from 5 both say 6, and mean 7.
    fn adds_up(&self, field: &str, server: &Value) -> bool {
        let sums = self.table.column(field).is_some_and(|column| column.merge == Merge::Sum);
        sums && self.strategy == Strategy::Merge && !self.may_set(field, server) && self.base_value(field).is_some()
    }

    fn asked_before(&self, field: &str) -> Option<&Value> {
        match &self.working.mine {
            Mine::Fields(fields) => fields.get(field),
            Mine::Untouched | Mine::Made | Mine::Deleted => None,
        }
    }

    fn settle(&self, field: String, server: Value, client: Value) -> ConflictField {
        let base = self.base_value(&field);
        let resolved = match self.strategy {
            Strategy::ServerWins | Strategy::Manual => server.clone(),
            Strategy::ClientWins => client.clone(),
            Strategy::Merge => {
                let rule = self.table.column(&field).map(|column| column.merge).unwrap_or_default();
                rule.settle(base.as_ref(), &server, &client)
            }
        };
        ConflictField { field, base: base.unwrap_or(Value::Null), server, client, resolved }
    }

    fn base_value(&self, field: &str) -> Option<Value> {
        if let Some(asked) = self.asked_before(field) {
            return Some(asked.clone());
        }
        self.working.known.as_ref()?.value_at(field, self.base?).cloned()
    }

    /// The row as known, when the client has named a version and the row has changed since.
    fn edited_elsewhere(&self) -> Option<&Known> {
        let known = self.working.known.as_ref()?;
        (known.version > self.base? && self.working.mine != Mine::Made).then_some(known)
    }

    fn is_tombstone(&self) -> bool {
        self.working.row.is_none() && (self.working.known.is_some() || self.working.mine == Mine::Deleted)
    }

    fn stale(&self) -> Decision {
        Decision::refused(
            "base_version",
            code::STALE,
            "the server no longer knows what happened since; start from zero and decide anew",
        )
    }
}

/// The values that a change brings.
fn brought(data: &Row) -> HashMap<String, Value> {
    data.iter().map(|(field, value)| (field.clone(), value.clone())).collect()
}

/// Whether a field is the person's data, and not the row's name or the server's stamp.
fn is_own(field: &str) -> bool {
    !matches!(field, "id" | "updated_at" | "created_at" | "user_id")
}

#[cfg(test)]
mod tests;
