//! From what the triggers have noted, in the database's own names and forms, to what travels.

use ryzed_adapters::Table;
use serde_json::{Map, Value};

use super::Schema;
use super::layout::Place;
use crate::store::StoreError;
use crate::sync::{Operation, said};

/// Reads the triggers' notes about one table's rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'s> {
    table: &'s Table,
    /// The table's place, if columns may have other names than on the wire.
    place: Option<&'s Place>,
}

impl<'s> Form<'s> {
    pub(super) fn of(schema: &'s Schema, table: &'s Table) -> Self {
        let place = schema.layout.of(table.name).filter(|place| table.is_external || !place.is_plain());
        Self { table, place }
    }

    /// Former values, or a former row, under the names and in the forms of the wire.
    pub(super) fn to_wire(self, operation: Operation, previous: &str) -> String {
        let fields = said::object(previous);
        let mut fields = self.named(fields);
        for (name, value) in &mut fields {
            let Some(column) = self.table.column(name) else { continue };
            let form = |value: &mut Value| {
                if let Some(canonical) = column.kind.canonical(value.clone()) {
                    *value = canonical;
                }
            };
            match value {
                Value::Array(history) if operation != Operation::Delete => {
                    history.iter_mut().filter_map(|entry| entry.get_mut(1)).for_each(form);
                }
                value => form(value),
            }
        }
        Value::Object(fields).to_string()
    }

    /// The versions of fields, under the names of the wire.
    pub(super) fn renamed(self, versions: String) -> String {
        match (self.place, serde_json::from_str(&versions)) {
            (Some(_), Ok(fields)) => Value::Object(self.named(fields)).to_string(),
            _ => versions,
        }
    }

    /// A refusal of the database, under the names of the wire.
    pub(super) fn refusal(self, error: StoreError) -> StoreError {
        if !self.table.is_external {
            return error;
        }
        match error {
            StoreError::Constraint(rule) => StoreError::Constraint(reason(&rule).into()),
            // Policies of the application are no mistake of the daemon; our own have other names.
            StoreError::Denied(policy) if !policy.contains("ryzed_") => StoreError::Constraint(reason(&policy).into()),
            StoreError::Reference(key) => {
                let physical = |name: &'s str| self.place.map_or(name, |place| place.physical(name));
                let columns = self.table.references().map(|(column, _)| column).filter(|column| *column != "user_id");
                match columns.into_iter().find(|column| key.contains(physical(column))) {
                    Some(column) => StoreError::Reference(column.to_owned()),
                    None => StoreError::Constraint(UNKNOWN.into()),
                }
            }
            other => other,
        }
    }

    /// The same of a row that was to be deleted.
    pub(super) fn refusal_to_delete(self, error: StoreError) -> StoreError {
        match error {
            StoreError::Reference(_) => StoreError::Constraint(NEEDED.into()),
            other => self.refusal(other),
        }
    }

    /// Renames the columns, and leaves out those that do not travel.
    fn named(self, fields: Map<String, Value>) -> Map<String, Value> {
        let name = |noted: String| match self.place {
            Some(place) if noted != "*" => {
                place.at(&noted).filter(|_| place.shows(&noted)).map(|column| column.name.clone())
            }
            _ => Some(noted),
        };
        let named = fields.into_iter().filter_map(|(noted, value)| Some((name(noted)?, value)));
        named.filter(|(name, _)| name == "*" || self.table.column(name).is_some()).collect()
    }
}

/// The error for a reference to a row that devices can't upload.
const UNKNOWN: &str = "it refers to a row or an account that the database does not have";

/// The error for deleting a row that others refer to.
const NEEDED: &str = "other rows of the database refer to it";

/// The reason for which an application's database refuses a row, without the names that it has there.
fn reason(rule: &str) -> &'static str {
    let reasons = [
        ("not-null", "it lacks a value that the database demands"),
        ("unique", "there is a row with the same value where the database wants different ones"),
        ("check constraint", "a check of the database refuses it"),
        ("restricted by", NEEDED),
        ("type", "the database does not take one of its values"),
        ("enum", "the database does not take one of its values"),
        ("numeric field overflow", "the database does not take one of its values"),
        ("row-level security", "a policy of the database refuses it"),
    ];
    let found = reasons.into_iter().find(|(word, _)| rule.contains(word));
    found.map_or("a rule of the database refuses it", |(_, reason)| reason)
}
