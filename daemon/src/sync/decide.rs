//! The decision about one upload: the conflict rules, as one function of the stored row and the requested change.
//!
//! Nothing in here looks anything up. Ownership of rows and checks of references are `push`'s business.

mod pending_row;
mod resolved;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use ryzed_adapters::{Column, FieldError, Merge, Row, Strategy, Table, UNSAID, code, format_time};
use serde_json::Value;

use super::asked::Asked;
use super::ids::Version;
use super::said::{self, is_same};
use super::stored_row::StoredRow;
use super::weight::Weight;
use super::wire::{ConflictField, Intent, Status};

pub use pending_row::{OwnEdits, PendingRow, Replaced};
pub use resolved::{Cost, ResolvedConflict, Telling};

/// The part of a decision's input that does not depend on the row.
#[derive(Debug, Clone, Copy)]
pub struct DecisionContext {
    /// The time that writes are stamped with.
    pub now: DateTime<Utc>,
    /// Up to here tombstones of the row's scope are gone.
    pub floor: Version,
    /// True if the client's base versions belong to this database's epoch.
    pub same_epoch: bool,
    /// The request's strategy.
    pub strategy: Option<Strategy>,
    /// The bytes that a conflict may spend on values that the client can get elsewhere.
    pub room: usize,
    /// True if the operator writes, and no device.
    pub is_operators: bool,
}

/// The result of a decision: the effect on the row, and the answer to the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The effect on the row.
    pub effect: Effect,
    /// The status that the client gets.
    pub status: Status,
    /// Why it was rejected.
    pub errors: Vec<FieldError>,
    /// The conflict that was met.
    pub conflict: Option<ResolvedConflict>,
}

/// The effect of a change on a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Nothing.
    Leave,
    /// Set these fields of the row, or make it of them; with the values that the change brought.
    Put(Row, HashMap<String, Value>),
    /// Delete it.
    Remove,
}

impl Decision {
    /// Not done, for these reasons.
    #[must_use]
    pub fn rejected(errors: Vec<FieldError>) -> Self {
        Self { effect: Effect::Leave, status: Status::Rejected, errors, conflict: None }
    }

    /// Not done for now, and kept in the open conflict of another row.
    #[must_use]
    pub fn held() -> Self {
        Self::done(Effect::Leave, Status::Conflict)
    }

    fn refused(field: &str, code: &str, message: &str) -> Self {
        Self::rejected(vec![FieldError::new(field, code, message)])
    }

    fn done(effect: Effect, status: Status) -> Self {
        Self { effect, status, errors: Vec::new(), conflict: None }
    }

    fn settled(effect: Effect, met: ResolvedConflict) -> Self {
        Self { effect, status: Status::Conflict, errors: Vec::new(), conflict: Some(met) }
    }
}

/// Decides what becomes of a change. Rules that span fields are checked on the whole row, once it has them.
#[must_use]
pub fn decide(table: &Table, working: &PendingRow, asked: &Asked, around: &DecisionContext) -> Decision {
    let case = Case {
        table,
        working,
        base: asked.base_version.or(working.made_at),
        strategy: asked.conflict_strategy.or(around.strategy).unwrap_or(table.strategy),
        around,
    };
    // What is gone already, or was made by this request, can be deleted whatever the client had seen.
    let needs_no_base = asked.operation == Intent::Delete && (working.row.is_none() || working.mine == OwnEdits::Made);
    if !around.same_epoch && asked.base_version.is_some() && !needs_no_base {
        return case.stale();
    }
    let mut decision = case.run(asked);
    if let Effect::Put(set, _) = &mut decision.effect
        && table.column("updated_at").is_some()
    {
        set.insert("updated_at".into(), format_time(around.now).into());
    }
    decision
}

/// Holds a row that was changed to the rules that span its fields, and to its bounds. One that was over them before may
/// shrink.
///
/// # Errors
/// What is wrong with it.
pub fn check(table: &Table, working: &PendingRow, replaced: &Replaced, most: Weight) -> Result<(), Vec<FieldError>> {
    let Some(row) = &working.row else { return Ok(()) };
    table.check(&said::without_unsaid(row))?;
    if working.weight().outgrows(most, replaced.weight()) {
        let Weight { bytes, values, .. } = most;
        let message = format!(
            "a row has at most {bytes} bytes as JSON and {values} values (limits.row_bytes, limits.row_values)"
        );
        return Err(vec![FieldError::new("", code::TOO_LARGE, message)]);
    }
    Ok(())
}

struct Case<'a> {
    table: &'a Table,
    working: &'a PendingRow,
    base: Option<Version>,
    strategy: Strategy,
    around: &'a DecisionContext,
}

impl Case<'_> {
    fn delete(&self) -> Decision {
        let Some(row) = &self.working.row else {
            return Decision::done(Effect::Leave, Status::Applied);
        };
        let Some(known) = self.edited_elsewhere() else {
            return Decision::done(Effect::Remove, Status::Applied);
        };
        if !self.around.same_epoch {
            return self.stale();
        }
        let goes = self.strategy == Strategy::ClientWins;
        let mut telling = self.telling();
        let edited = row.iter().filter(|(field, _)| is_own(field) && Some(known.field_version(field)) > self.base);
        let fields = edited.map(|(field, server)| {
            let resolved = if goes { &Value::Null } else { server };
            telling.field(field, self.base_value(field), server, Value::Null, resolved, goes)
        });
        let fields = fields.collect();
        Decision::settled(if goes { Effect::Remove } else { Effect::Leave }, telling.met(self.strategy, fields))
    }

    fn run(&self, asked: &Asked) -> Decision {
        let intent = asked.operation;
        let exists = self.working.row.is_some();
        let whole = intent == Intent::Insert || (intent == Intent::Upsert && !exists && !self.is_tombstone());
        let is_sent_back = |column: &Column, value: &Value| self.is_sent_back(column, value);
        let sent_back = self.table.without_read_only(asked.aside.clone(), self.around.is_operators, is_sent_back);
        if let Err(errors) = sent_back {
            return Decision::rejected(errors);
        }
        let data = match asked.values(whole) {
            Some(Ok(data)) => data,
            Some(Err(errors)) => return Decision::rejected(errors.clone()),
            None => return self.delete(),
        };
        match &self.working.row {
            Some(row) => self.edit(row, data),
            None if self.is_tombstone() => self.edit_deleted(intent, data),
            None => self.make(intent, data),
        }
    }

    /// True if a client that writes whole objects merely sends back what it got, now or at the version that it edits;
    /// of a new row it got nothing.
    fn is_sent_back(&self, column: &Column, value: &Value) -> bool {
        let (known, name) = (self.working.known.as_ref(), column.name.as_str());
        let current = self.working.row.as_ref().or_else(|| known.and_then(StoredRow::former_row));
        let Some(value) = column.kind.canonical(value.clone()) else { return false };
        match current.and_then(|row| row.get(name)) {
            Some(current) if is_same(current, &value) => true,
            None if value.is_null() => true,
            _ => self.base_value(name).is_some_and(|base| is_same(base, &value)),
        }
    }

    /// Edits a row that is there.
    fn edit(&self, row: &Row, data: &Row) -> Decision {
        let (mut set, mut brought, mut fields) = (Row::new(), HashMap::new(), Vec::new());
        let mut telling = self.telling();
        for (field, client) in data {
            let server = row.get(field).unwrap_or(&Value::Null);
            if is_same(server, client) && !self.adds_up(field, server) {
                continue;
            }
            brought.insert(field.clone(), client.clone());
            if self.may_set(field, server) {
                set.insert(field.clone(), client.clone());
            } else if let Some(value) = self.settle(&mut telling, &mut fields, field, server, client) {
                set.insert(field.clone(), value);
            }
        }
        let effect = if set.is_empty() { Effect::Leave } else { Effect::Put(set, brought) };
        if !fields.is_empty() {
            return Decision::settled(effect, telling.met(self.strategy, fields));
        }
        let merged = effect != Effect::Leave && self.edited_elsewhere().is_some();
        Decision::done(effect, if merged { Status::Merged } else { Status::Applied })
    }

    /// Edits a row that was deleted.
    fn edit_deleted(&self, intent: Intent, data: &Row) -> Decision {
        let known = self.working.known.as_ref();
        let saw_it_go = known.is_some_and(|known| self.base >= Some(known.version));
        if intent != Intent::Update && (self.working.mine == OwnEdits::Deleted || saw_it_go) {
            return self.make(intent, data);
        }
        if self.working.mine == OwnEdits::Deleted {
            return Decision::refused("id", code::NOT_FOUND, "the row was deleted earlier in this request");
        }
        let comes_back = matches!(self.strategy, Strategy::ClientWins | Strategy::Merge);
        let mut telling = self.telling();
        let fields = data.iter().filter(|(field, _)| is_own(field)).map(|(field, client)| {
            let resolved = if comes_back { client } else { &Value::Null };
            telling.field(field, self.base_value(field), &Value::Null, client.clone(), resolved, false)
        });
        let fields = fields.collect();
        let met = telling.met(self.strategy, fields);
        if !comes_back {
            return Decision::settled(Effect::Leave, met);
        }
        let mut row = known.and_then(StoredRow::former_row).cloned().unwrap_or_default();
        // Rows that went while no trigger looked left nothing behind but that they are gone.
        let is_unknown = row.is_empty();
        row.extend(data.clone());
        let unsaid = said::unsaid(self.table, &row);
        if !unsaid.is_empty() {
            row.insert(UNSAID.into(), unsaid.into());
        }
        self.table.complete(&mut row, self.around.now);
        if is_unknown && !self.missing(&row).is_empty() {
            let message =
                "the row was deleted, and nobody knows any more what it was; insert it whole to bring it back";
            return Decision::refused("id", code::NOT_FOUND, message);
        }
        Decision::settled(Effect::Put(row, brought(data)), met)
    }

    /// Makes a row that the server knows nothing of.
    fn make(&self, intent: Intent, data: &Row) -> Decision {
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
        let mut row = data.clone();
        self.table.complete(&mut row, self.around.now);
        let missing = self.missing(&row);
        if missing.is_empty() {
            Decision::done(Effect::Put(row, brought(data)), Status::Applied)
        } else {
            let required = |column: &Column| FieldError::new(&column.name, code::REQUIRED, "must be given");
            Decision::rejected(missing.into_iter().map(required).collect())
        }
    }

    /// The columns that a row has to have and does not.
    fn missing(&self, row: &Row) -> Vec<&Column> {
        let lacks = |column: &&Column| column.required && row.get(&column.name).is_none_or(Value::is_null);
        self.table.columns.iter().filter(lacks).collect()
    }

    /// True if the client's value of `field` meets no edit that the client has not seen.
    fn may_set(&self, field: &str, server: &Value) -> bool {
        if self.working.mine == OwnEdits::Made {
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
            OwnEdits::Fields(fields) => fields.get(field),
            OwnEdits::Untouched | OwnEdits::Made | OwnEdits::Deleted => None,
        }
    }

    /// Settles a field that both sides changed; the value to set, when it is another one than the server's.
    fn settle(
        &self,
        telling: &mut Telling<'_>,
        fields: &mut Vec<ConflictField>,
        field: &str,
        server: &Value,
        client: &Value,
    ) -> Option<Value> {
        let base = self.base_value(field);
        let rule = self.table.column(field).map(|column| column.merge).unwrap_or_default();
        let (value, is_lost) = match self.strategy {
            Strategy::ServerWins | Strategy::Manual => (None, false),
            Strategy::ClientWins => (Some(client.clone()), true),
            Strategy::Merge => {
                telling.merged(server);
                let value = rule.settle(base, server, client);
                let is_lost = value == *client;
                (Some(value).filter(|value| value != server), is_lost)
            }
        };
        let resolved = value.as_ref().unwrap_or(server);
        fields.push(telling.field(field, base, server, client.clone(), resolved, is_lost && value.is_some()));
        value
    }

    fn telling(&self) -> Telling<'_> {
        Telling::new(&self.working.told, self.around.room)
    }

    fn base_value(&self, field: &str) -> Option<&Value> {
        if let Some(asked) = self.asked_before(field) {
            return Some(asked);
        }
        let current = self.working.in_database(field);
        let value = self.working.known.as_ref()?.value_at(field, self.base?, current)?;
        self.table.column(field).is_none_or(|column| column.kind.says(value)).then_some(value)
    }

    /// The row as known, when the client has named a version and the row has changed since.
    fn edited_elsewhere(&self) -> Option<&StoredRow> {
        let known = self.working.known.as_ref()?;
        (known.version > self.base? && self.working.mine != OwnEdits::Made).then_some(known)
    }

    fn is_tombstone(&self) -> bool {
        self.working.row.is_none() && (self.working.known.is_some() || self.working.mine == OwnEdits::Deleted)
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

/// True if a field is the person's data, and neither the row's id nor a stamp of the server.
fn is_own(field: &str) -> bool {
    !matches!(field, "id" | "updated_at" | "created_at" | "user_id" | UNSAID)
}

#[cfg(test)]
mod tests;
