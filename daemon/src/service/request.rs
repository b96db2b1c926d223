//! From the `changes` of a request to changes that can be decided; what can't be read is rejected one by one. Values are
//! checked here, before anything waits for a database.

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, Registry, Row, ScopeRule, code};
use serde_json::Value;
use uuid::Uuid;

use crate::sync::RowId;
use crate::sync::asked::Asked;
use crate::sync::wire::{ChangeResult, Mutation, Status};

/// One of a request's changes.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// It can be decided.
    Ready(Box<Ready>),
    /// It can't be read.
    Unreadable(ChangeResult),
}

/// A change whose table and row are known.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    /// The table's rank in the registry.
    pub rank: usize,
    /// The table's name.
    pub table: &'static str,
    /// The row.
    pub id: RowId,
    /// What is asked.
    pub asked: Asked,
}

impl Change {
    pub(super) fn read(value: Value, registry: &Registry, is_operators: bool, now: DateTime<Utc>) -> Self {
        let told = Told::of(&value);
        let mutation: Mutation = match serde_json::from_value(value) {
            Ok(mutation) => mutation,
            Err(error) => return told.unreadable("", code::WRONG_TYPE, error.to_string()),
        };
        Self::of(mutation, registry, is_operators, now).unwrap_or_else(|error| told.rejected(*error))
    }

    /// A change that is made of a mutation.
    pub(super) fn of(
        mut mutation: Mutation,
        registry: &Registry,
        is_operators: bool,
        now: DateTime<Utc>,
    ) -> Result<Self, Box<FieldError>> {
        let refuse = |field: &str, code: &str, message: &str| Box::new(FieldError::new(field, code, message));
        let Some(table) = registry.get(&mutation.table) else {
            return Err(refuse("table", UNKNOWN_TABLE, "there is no such table; see GET /api/realtime/tables"));
        };
        if mutation.base_version.is_some_and(|version| version < 0) {
            return Err(refuse("base_version", code::OUT_OF_RANGE, "must not be negative"));
        }
        let id = match mutation.data.get("id") {
            Some(Value::String(id)) => Uuid::try_parse(id).ok(),
            Some(Value::Null) | None => return Err(refuse("id", code::REQUIRED, "must be given")),
            Some(_) => None,
        };
        let Some(id) = id.map(|id| id.to_string()) else {
            return Err(refuse("id", code::INVALID_FORMAT, "must be a valid uuid"));
        };
        mutation.data.insert("id".into(), id.as_str().into());
        if table.scope == ScopeRule::Owner && mutation.data.get("user_id").is_some_and(Value::is_null) {
            mutation.data.remove("user_id");
        }
        let rank = registry.rank(table.name).unwrap_or_default();
        let asked = Asked::of(mutation, table, is_operators, now);
        Ok(Self::Ready(Box::new(Ready { rank, table: table.name, id: id.into(), asked })))
    }

    pub(super) fn mutation_id(&self) -> Option<Uuid> {
        match self {
            Self::Ready(ready) => ready.asked.mutation_id,
            Self::Unreadable(_) => None,
        }
    }
}

/// The code of a change whose table is none of ours.
const UNKNOWN_TABLE: &str = "unknown_table";

/// What can be said of a change before it is understood.
struct Told {
    mutation_id: Option<Uuid>,
    table: String,
    id: Option<RowId>,
}

impl Told {
    fn of(value: &Value) -> Self {
        const LONGEST: usize = 64;
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).map(|text| text.chars().take(LONGEST).collect::<String>())
        };
        Self {
            mutation_id: text(value.get("mutation_id")).and_then(|id| Uuid::try_parse(&id).ok()),
            table: text(value.get("table")).unwrap_or_default(),
            id: text(value.get("data").and_then(|data| data.get("id"))).map(RowId::from),
        }
    }

    fn unreadable(self, field: &str, code: &str, message: String) -> Change {
        self.rejected(FieldError::new(field, code, message))
    }

    fn rejected(self, error: FieldError) -> Change {
        Change::Unreadable(ChangeResult {
            mutation_id: self.mutation_id,
            status: Status::Rejected,
            table: self.table,
            id: self.id,
            version: None,
            errors: vec![error],
        })
    }
}

/// The ids that `row` refers to, with the tables that they are in. Owners are not references.
pub(super) fn references<'a>(
    table: &'a ryzed_adapters::Table,
    row: &'a Row,
) -> impl Iterator<Item = (&'a str, &'a str, String)> {
    table.references().filter(|(column, _)| *column != "user_id").filter_map(|(column, parent)| {
        let id = row.get(column)?.as_str()?;
        let id = Uuid::try_parse(id).map_or_else(|_| id.to_owned(), |id| id.to_string());
        Some((column, parent, id))
    })
}
