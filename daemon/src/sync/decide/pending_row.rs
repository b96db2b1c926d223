//! A row while the changes of one request are worked through. It is changed in place: however often a request edits a row, the
//! row is there once.

use std::collections::{HashMap, HashSet};

use ryzed_adapters::Row;
use serde_json::Value;

use crate::sync::ids::Version;
use crate::sync::stored_row::StoredRow;
use crate::sync::weight::Weight;

/// A row while the changes of one request are worked through.
#[derive(Debug, Clone, Default)]
pub struct PendingRow {
    /// The row's index entry when the request began.
    pub known: Option<StoredRow>,
    /// The row as the request's earlier changes have left it.
    pub row: Option<Row>,
    /// The request's own edits: such fields are no other device's edits.
    pub mine: OwnEdits,
    /// The version at which the device itself made the row, when the request repeats the change that did.
    pub made_at: Option<Version>,
    /// The fields of which a conflict was told.
    pub told: HashSet<String>,
    /// The weight of the row.
    weight: Weight,
    /// The stored values of the fields that the request has changed.
    stored: HashMap<String, Option<Value>>,
    /// The database's row, when the request has deleted it: with the fields as they were changed before.
    gone: Option<Row>,
    /// True while the row is in the database, as far as the request has written.
    is_there: bool,
    /// The fields of a row that is there which are still to be written.
    unwritten: HashSet<String>,
}

/// The edits that a request itself has made to a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OwnEdits {
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

/// The state that a change has replaced, kept until it is certain that the change stays.
#[derive(Debug)]
pub struct Replaced {
    /// None when the row was not there.
    fields: Option<Vec<(String, Option<Value>)>>,
    weight: Weight,
}

impl Replaced {
    /// The weight of the row before the change.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.weight
    }
}

impl PendingRow {
    /// A row as the database has it.
    #[must_use]
    pub fn of(known: StoredRow, row: Option<Row>) -> Self {
        let weight = row.as_ref().map(Weight::of_row).unwrap_or_default();
        let is_there = row.is_some();
        Self { known: Some(known), row, weight, is_there, ..Self::default() }
    }

    /// The weight of the row as it is now.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// The value that the database has of a field, where the row is there.
    #[must_use]
    pub fn in_database(&self, field: &str) -> Option<&Value> {
        self.known.as_ref().filter(|known| known.is_live)?;
        match self.stored.get(field) {
            Some(value) => value.as_ref(),
            None => self.gone.as_ref().or(self.row.as_ref())?.get(field),
        }
    }

    /// True if the row is in the database, apart from unwritten changes of this request.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.row.is_some() && self.is_there
    }

    /// The fields that are still to be written of a stored row.
    #[must_use]
    pub fn changed(&self) -> Row {
        let value = |name: &String| Some((name.clone(), self.row.as_ref()?.get(name)?.clone()));
        self.unwritten.iter().filter_map(value).collect()
    }

    /// Notes that the database has the row as it is now, or has it no more.
    pub fn wrote(&mut self) {
        self.is_there = self.row.is_some();
        self.unwritten.clear();
    }

    /// Sets fields of the row, or makes it. [`keep`](Self::keep) or [`take_back`](Self::take_back) what was replaced.
    #[must_use]
    pub fn put(&mut self, fields: Row) -> Replaced {
        let weight = self.weight;
        let Some(row) = &mut self.row else {
            self.weight = Weight::of_row(&fields);
            self.row = Some(fields);
            return Replaced { fields: None, weight };
        };
        let mut replaced = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            self.weight += Weight::of_field(&name, &value);
            let before = row.insert(name.clone(), value);
            if let Some(before) = &before {
                self.weight = self.weight - Weight::of_field(&name, before);
            }
            replaced.push((name, before));
        }
        Replaced { fields: Some(replaced), weight }
    }

    /// Undoes a [`put`](Self::put).
    pub fn take_back(&mut self, replaced: Replaced) {
        self.weight = replaced.weight;
        match (replaced.fields, &mut self.row) {
            (Some(fields), Some(row)) => fields.into_iter().for_each(|(name, value)| restore(row, name, value)),
            _ => self.row = None,
        }
    }

    /// Notes that a [`put`](Self::put) stays, and what it brought.
    pub fn keep(&mut self, replaced: Replaced, brought: HashMap<String, Value>) {
        let made = replaced.fields.is_none();
        for (name, value) in replaced.fields.into_iter().flatten() {
            self.unwritten.insert(name.clone());
            if self.gone.is_none() {
                self.stored.entry(name).or_insert(value);
            }
        }
        self.ask(made, brought);
    }

    /// Deletes the row.
    pub fn remove(&mut self) {
        let row = self.row.take();
        if self.known.as_ref().is_some_and(|known| known.is_live) && self.gone.is_none() {
            self.gone = row;
        }
        self.weight = Weight::default();
        self.mine = OwnEdits::Deleted;
    }

    /// Notes what was asked for, in this request or in one that it repeats.
    pub fn ask(&mut self, made: bool, brought: HashMap<String, Value>) {
        self.mine = match std::mem::take(&mut self.mine) {
            _ if made => OwnEdits::Made,
            OwnEdits::Made => OwnEdits::Made,
            OwnEdits::Fields(mut fields) => {
                fields.extend(brought);
                OwnEdits::Fields(fields)
            }
            OwnEdits::Untouched | OwnEdits::Deleted => OwnEdits::Fields(brought),
        };
    }

    /// Makes the row what the database has.
    pub fn reset(&mut self) {
        let is_live = self.known.as_ref().is_some_and(|known| known.is_live);
        self.row = self.gone.take().or(self.row.take()).filter(|_| is_live);
        if let Some(row) = &mut self.row {
            std::mem::take(&mut self.stored).into_iter().for_each(|(name, value)| restore(row, name, value));
        }
        self.weight = self.row.as_ref().map(Weight::of_row).unwrap_or_default();
        self.mine = OwnEdits::Untouched;
        self.is_there = self.row.is_some();
        self.unwritten.clear();
    }
}

fn restore(row: &mut Row, name: String, value: Option<Value>) {
    match value {
        Some(value) => row.insert(name, value),
        None => row.remove(&name),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::sync::{Operation, Scope};

    fn object(value: Value) -> Row {
        value.as_object().unwrap().clone()
    }

    fn live(row: &Row) -> PendingRow {
        let known = StoredRow {
            is_live: true,
            scope: Some(Scope::Global),
            version: 1,
            operation: Operation::Insert,
            field_versions: Row::new(),
            previous: Row::new(),
        };
        PendingRow::of(known, Some(row.clone()))
    }

    proptest! {
        #[test]
        fn whatever_was_done_can_be_undone(steps in proptest::collection::vec((0u8..4, "[abc]", 0i64..3), 0..20)) {
            let row = object(json!({"id": "r", "a": 0, "b": "text"}));
            let mut working = live(&row);
            for (what, name, value) in steps {
                let before = working.clone();
                let fields = object(json!({ name.as_str(): value }));
                match what {
                    0 => {
                        let replaced = working.put(fields);
                        working.take_back(replaced);
                        prop_assert_eq!((&working.row, working.weight), (&before.row, before.weight));
                    }
                    1 | 2 => {
                        let replaced = working.put(fields);
                        working.keep(replaced, HashMap::new());
                    }
                    _ => working.remove(),
                }
                prop_assert_eq!(working.weight, working.row.as_ref().map(Weight::of_row).unwrap_or_default());
                for name in ["id", "a", "b", "c"] {
                    prop_assert_eq!(working.in_database(name), row.get(name));
                }
            }
            working.reset();
            prop_assert_eq!((working.row, working.weight), (Some(row.clone()), Weight::of_row(&row)));
        }
    }
}
