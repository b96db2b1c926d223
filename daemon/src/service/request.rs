//! From the `changes` of a request to changes that can be decided; what can't be read is rejected one by one. Values are
//! checked here, before anything waits for a database.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, Registry, Row, ScopeRule, code};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::sync::RowId;
use crate::sync::asked::Asked;
use crate::sync::names::Name;
use crate::sync::raw::{BadRow, RowBounds, fault, row};
use crate::sync::wire::{ChangeResult, Intent, Mutation, Status};

/// One of a request's changes.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// It can be decided.
    Parsed(Arc<ParsedChange>),
    /// It can't be read.
    Malformed(ChangeResult),
}

/// A change whose table and row are known.
#[derive(Debug, Clone)]
pub(super) struct ParsedChange {
    /// The table's rank in the registry.
    pub rank: usize,
    /// The table's name.
    pub table: &'static str,
    /// The row.
    pub id: RowId,
    /// The requested change.
    pub asked: Asked,
}

impl Change {
    /// Reads an upload, judging each part before the next.
    pub(super) fn read(
        upload: &RawValue,
        registry: &Registry,
        bounds: RowBounds,
        is_operators: bool,
        newest: DateTime<Utc>,
    ) -> Self {
        let members = match members(upload) {
            Ok(members) => members,
            Err(error) => return ChangeHeader::default().rejected(error),
        };
        let mutation = members.mutation(bounds).map_err(Box::new);
        let mut change = mutation.and_then(|mutation| Self::of(mutation, registry, is_operators, newest));
        if let Ok(Self::Parsed(ready)) = &mut change
            && let Some(ready) = Arc::get_mut(ready)
            && ready.asked.brought().is_none()
            && ready.asked.operation != Intent::Delete
        {
            ready.asked.at_fault = members.data.and_then(|data| row(data, bounds).ok()).unwrap_or_default();
        }
        change.unwrap_or_else(|error| ChangeHeader::of(&members).rejected(*error))
    }

    /// A change that is made of a mutation.
    pub(super) fn of(
        mut mutation: Mutation,
        registry: &Registry,
        is_operators: bool,
        newest: DateTime<Utc>,
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
        let asked = Asked::of(mutation, table, is_operators, newest);
        Ok(Self::Parsed(Arc::new(ParsedChange { rank, table: table.name, id: id.into(), asked })))
    }

    pub(super) fn mutation_id(&self) -> Option<Uuid> {
        match self {
            Self::Parsed(ready) => ready.asked.mutation_id,
            Self::Malformed(_) => None,
        }
    }
}

/// The code of a change whose table is none of ours.
const UNKNOWN_TABLE: &str = "unknown_table";

/// The members of an upload as they came; others that it may have mean nothing.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    mutation_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    table: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    base_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    conflict_strategy: Option<&'a RawValue>,
}

fn members(upload: &RawValue) -> Result<Members<'_>, FieldError> {
    // A list would pass for the members in their order.
    if !upload.get().starts_with('{') {
        return Err(FieldError::new("", code::WRONG_TYPE, "a change is an object"));
    }
    serde_json::from_str(upload.get()).map_err(|error| {
        let (code, message) = fault(&error);
        FieldError::new("", code, message)
    })
}

impl Members<'_> {
    fn mutation(&self, bounds: RowBounds) -> Result<Mutation, FieldError> {
        let table: Name = required("table", self.table)?;
        Ok(Mutation {
            mutation_id: member("mutation_id", self.mutation_id)?,
            table: table.0,
            operation: required("operation", self.operation)?,
            data: row(self.data.ok_or_else(|| missing("data"))?, bounds).map_err(|bad| refused(bad, bounds))?,
            base_version: member("base_version", self.base_version)?,
            conflict_strategy: member("conflict_strategy", self.conflict_strategy)?,
            parts: Vec::new(),
        })
    }
}

/// One member, if it is there.
fn member<'a, T: Deserialize<'a>>(name: &str, value: Option<&'a RawValue>) -> Result<Option<T>, FieldError> {
    let read = value.map(|value| serde_json::from_str(value.get())).transpose();
    read.map_err(|error| {
        let (code, message) = fault(&error);
        FieldError::new(name, code, message)
    })
}

fn required<'a, T: Deserialize<'a>>(name: &str, value: Option<&'a RawValue>) -> Result<T, FieldError> {
    member(name, value)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> FieldError {
    FieldError::new(name, code::REQUIRED, "must be given")
}

/// The error for a row that is not taken.
pub(super) fn refused(bad: BadRow, bounds: RowBounds) -> FieldError {
    let RowBounds { fields, depth } = bounds;
    match bad {
        BadRow::NoObject => FieldError::new("data", code::WRONG_TYPE, "must be an object"),
        BadRow::TooManyFields => {
            FieldError::new("data", code::LENGTH, format!("must have at most {fields} fields (limits.fields_per_row)"))
        }
        BadRow::Twice(name) => FieldError::new(name, code::INVALID, "must be given once"),
        BadRow::TooDeep(name) => {
            FieldError::new(name, code::LENGTH, format!("must be at most {depth} levels deep (limits.value_depth)"))
        }
    }
}

/// The part of a change that is readable before it is parsed.
#[derive(Default)]
struct ChangeHeader {
    mutation_id: Option<Uuid>,
    table: String,
    id: Option<RowId>,
}

impl ChangeHeader {
    fn of(members: &Members<'_>) -> Self {
        #[derive(Deserialize)]
        struct Named {
            id: Name,
        }
        let named = members.data.and_then(|data| serde_json::from_str::<Named>(data.get()).ok());
        Self {
            mutation_id: member("", members.mutation_id).ok().flatten(),
            table: member("", members.table).ok().flatten().map_or_else(String::new, |Name(name)| name),
            id: named.map(|named| RowId::from(named.id.0)),
        }
    }

    fn rejected(self, error: FieldError) -> Change {
        Change::Malformed(ChangeResult {
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
