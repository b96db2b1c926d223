//! Uploads, as a client words them.

use serde_json::{Value, json};
use uuid::Uuid;

/// One element of `changes`, with a mutation id of its own.
#[derive(Debug, Clone)]
pub struct Change(Value);

/// A new row.
#[must_use]
pub fn insert(table: &str, row: &Value) -> Change {
    Change::new("INSERT", table, row.clone())
}

/// Some fields of a row.
#[must_use]
pub fn update(table: &str, id: &Value, fields: Value) -> Change {
    Change::new("UPDATE", table, with_id(id, fields))
}

/// A new row, or some fields of it.
#[must_use]
pub fn upsert(table: &str, row: &Value) -> Change {
    Change::new("UPSERT", table, row.clone())
}

/// No row.
#[must_use]
pub fn delete(table: &str, id: &Value) -> Change {
    Change::new("DELETE", table, json!({"id": id}))
}

impl Change {
    /// Anything at all.
    #[must_use]
    pub fn new(operation: &str, table: &str, data: Value) -> Self {
        Self(json!({"mutation_id": Uuid::new_v4(), "table": table, "operation": operation, "data": data}))
    }

    /// Names the version that was edited.
    #[must_use]
    pub fn base(self, version: &Value) -> Self {
        self.with("base_version", version.clone())
    }

    /// Names what settles conflicts.
    #[must_use]
    pub fn strategy(self, strategy: &str) -> Self {
        self.with("conflict_strategy", strategy)
    }

    /// Sets any member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0[member] = value.into();
        self
    }

    /// The mutation id.
    #[must_use]
    pub fn id(&self) -> Value {
        self.0["mutation_id"].clone()
    }

    /// As it travels in `changes`.
    #[must_use]
    pub fn json(&self) -> Value {
        self.0.clone()
    }

    /// As it travels over a socket.
    #[must_use]
    pub fn message(&self) -> Value {
        self.clone().with("type", "data_updated").0
    }
}

fn with_id(id: &Value, mut fields: Value) -> Value {
    fields["id"] = id.clone();
    fields
}
