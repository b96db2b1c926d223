//! The rules of rows and owners that need no push: what a table's scope rule and the application's grants say.

use ryzed_adapters::{FieldError, Row, ScopeRule, Table, code};
use serde_json::Value;

use crate::store::Rights;
use crate::sync::decide::Effect;

/// What a device is told of a row that refers to another one.
pub(super) const NOT_THERE: &str = "refers to a row that does not exist, or that is not yours to refer to";

/// Whether the application's grants let people do this. What the daemon itself puts into a row is not asked for.
pub(super) fn may_do(rights: &Rights, effect: &Effect, data: &Row, is_new: bool) -> Result<(), FieldError> {
    let refused = |field: &str, what: &str| {
        Err(FieldError::new(field, code::FORBIDDEN, format!("the application lets nobody {what}")))
    };
    let fixed = |field: &String| FieldError::new(field, code::READ_ONLY, "the application lets nobody set it");
    match effect {
        Effect::Leave => Ok(()),
        Effect::Remove if rights.delete => Ok(()),
        Effect::Remove => refused("", "delete rows of this table"),
        Effect::Put(..) if is_new && rights.insert.is_empty() => refused("", "make rows of this table"),
        Effect::Put(_, brought) => {
            let (granted, mut set): (_, Vec<&String>) = if is_new {
                (&rights.insert, data.keys().collect())
            } else {
                (&rights.update, brought.keys().collect())
            };
            set.sort();
            let is_ours = |field: &str| matches!(field, "updated_at" | "_version") || (!is_new && field == "id");
            let first = set.into_iter().find(|field| !is_ours(field) && !granted.contains(*field));
            first.map_or(Ok(()), |field| Err(fixed(field)))
        }
    }
}

/// Whether a new row says whose it is. In the catalogue's tables only an explicit null means the catalogue.
pub(super) fn row_has_owner(row: &Row, table: &Table, brought: bool) -> bool {
    match row.get("user_id") {
        Some(Value::Null) | None => brought && table.scope == ScopeRule::OwnerOrGlobal,
        Some(_) => true,
    }
}

/// The column by which a row is a part of another one.
pub(super) fn via(table: &Table) -> Option<&'static str> {
    table.scope.parent().map(|_| table.scope.column())
}

pub(super) fn forbidden(field: &str) -> FieldError {
    FieldError::new(field, code::FORBIDDEN, "not yours to write or to refer to")
}

/// The column that a foreign key is of, by the key's name; empty when the name does not tell.
pub(super) fn referring<'t>(table: &'t Table, key: &str) -> &'t str {
    table.references().map(|(column, _)| column).find(|column| key.contains(column)).unwrap_or_default()
}

pub(super) fn unknown_reference(column: &str) -> FieldError {
    FieldError::new(column, code::INVALID_REFERENCE, NOT_THERE)
}
