//! A client's change of a row, with its values checked before the row is looked up.

use std::cell::RefCell;

use chrono::{DateTime, Utc};
use ryzed_adapters::{Column, FieldError, Purpose, Row, Strategy, Table};
use serde_json::Value;
use uuid::Uuid;

use super::ids::Version;
use super::wire::{Intent, Mutation};

/// Values in the form in which they are stored, or what is wrong with them.
pub type Checked = Result<Row, Vec<FieldError>>;

/// One upload whose table is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Names the change, so that a retry is recognised.
    pub mutation_id: Option<Uuid>,
    /// The requested operation.
    pub operation: Intent,
    /// The version of the row that the client edited.
    pub base_version: Option<Version>,
    /// The strategy for its conflicts; none for the request's.
    pub conflict_strategy: Option<Strategy>,
    /// The values that it brings for columns that devices may not write.
    pub aside: Row,
    /// The values as they came, when none of them can be stored.
    pub at_fault: Row,
    /// As some fields of a row that is there.
    part: Option<Checked>,
    /// As a whole row.
    whole: Option<Checked>,
}

impl Asked {
    /// Checks what `mutation` brings for `table`: as a whole row, as a part of one, or as both, where that depends on the row. What
    /// devices may not write they may send back, which depends on the row, too.
    #[must_use]
    pub fn of(mutation: Mutation, table: &Table, is_operators: bool, now: DateTime<Utc>) -> Self {
        let Mutation { mutation_id, operation, base_version, conflict_strategy, data, .. } = mutation;
        let aside = RefCell::new(Row::new());
        let put_aside = |column: &Column, value: &Value| {
            aside.borrow_mut().insert(column.name.clone(), value.clone());
            true
        };
        let data = table.without_read_only(data, is_operators, put_aside).unwrap_or_default();
        let (part, whole) = match operation {
            Intent::Insert => (None, Some(table.accept(data, Purpose::Whole, now))),
            Intent::Update => (Some(table.accept(data, Purpose::Patch, now)), None),
            Intent::Upsert => {
                (Some(table.accept(data.clone(), Purpose::Patch, now)), Some(table.accept(data, Purpose::Whole, now)))
            }
            Intent::Delete => (None, None),
        };
        let aside = aside.into_inner();
        Self { mutation_id, operation, base_version, conflict_strategy, aside, at_fault: Row::new(), part, whole }
    }

    /// Returns the values to store, as a whole row or a part of one; none for a deletion.
    #[must_use]
    pub fn values(&self, is_whole: bool) -> Option<&Checked> {
        if is_whole { self.whole.as_ref() } else { self.part.as_ref() }
    }

    /// The values, when they can be stored in either way.
    #[must_use]
    pub fn brought(&self) -> Option<&Row> {
        [&self.part, &self.whole].into_iter().find_map(|checked| checked.as_ref()?.as_ref().ok())
    }
}
