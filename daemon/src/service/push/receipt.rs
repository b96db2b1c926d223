//! The stored result of a mutation, so that a retry gets the same. It holds no values, so that it stays small whatever
//! the row is like.

use std::collections::HashMap;

use ryzed_adapters::Strategy;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::StoreError;
use crate::sync::RowId;
use crate::sync::wire::{ChangeResult, Conflict};

/// The results of mutations that were seen before.
pub(super) type Seen = HashMap<Uuid, Receipt>;

/// The receipt of one mutation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// The result of the mutation.
    pub result: ChangeResult,
    /// The conflict that it met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Noted>,
}

/// The stored part of a conflict: enough to report it again, with the row as it is then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Noted {
    /// Its name, when it was left open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_id: Option<Uuid>,
    /// The strategy that settled it.
    pub strategy: Strategy,
    /// The fields that conflicted.
    pub fields: Vec<FieldName>,
    /// The row with which it waits, where that was deleted elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Named>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Named {
    pub table: String,
    pub id: RowId,
}

/// The name of a field. Older receipts have its values beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "String")]
pub(super) struct FieldName(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Alone(String),
    WithValues { field: String },
}

impl From<Written> for FieldName {
    fn from(named: Written) -> Self {
        match named {
            Written::Alone(field) | Written::WithValues { field } => Self(field),
        }
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0
    }
}

impl Receipt {
    pub(super) fn of(result: &ChangeResult, conflict: Option<&Conflict>) -> Self {
        let conflict = conflict.map(|met| Noted {
            conflict_id: met.conflict_id,
            strategy: met.strategy,
            fields: met.fields.iter().map(|field| FieldName(field.field.clone())).collect(),
            above: (!met.parts.is_empty()).then(|| Named { table: met.table.clone(), id: met.id.clone() }),
        });
        Self { result: result.clone(), conflict }
    }

    /// A receipt as it was kept. One that can't be read is no sign that the mutation was never seen.
    pub(super) fn read(id: Uuid, json: &str) -> Result<Self, StoreError> {
        serde_json::from_str(json).map_err(|error| {
            StoreError::Failed(format!(
                "the receipt of the mutation {id} can't be read, so it is not done again: {error}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn receipts_of_every_release_are_read_and_none_holds_values() {
        let result = json!({"mutation_id": null, "status": "conflict", "table": "foods", "id": "r", "version": 7});
        let long = "x".repeat(1000);
        let field = json!({"field": "name_en", "base": null, "server": long, "client": "b", "resolved": long});
        let old = json!({"result": result, "conflict": {"conflict_id": Uuid::nil(), "mutation_id": null, "table": "foods",
            "id": "r", "strategy": "manual", "fields": [field], "row": {"id": "r", "name_en": long}}});
        let new = json!({"result": result, "conflict":
            {"conflict_id": Uuid::nil(), "strategy": "manual", "fields": ["name_en"]}});
        let read = Receipt::read(Uuid::nil(), &old.to_string()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), new);
        assert_eq!(Receipt::read(Uuid::nil(), &new.to_string()).unwrap(), read);
        let plain = json!({"result": result});
        assert_eq!(serde_json::to_value(Receipt::read(Uuid::nil(), &plain.to_string()).unwrap()).unwrap(), plain);
    }

    #[test]
    fn what_cant_be_read_is_an_error() {
        for bad in ["", "{}", r#"{"result": 7}"#, r#"{"status": "applied"}"#] {
            assert!(matches!(Receipt::read(Uuid::nil(), bad), Err(StoreError::Failed(_))), "{bad}");
        }
    }
}
