//! Whose a row is, and who may write it or refer to it. A person writes their own rows; an admin the catalogue too.

use ryzed_adapters::{FieldError, PEOPLE, Row, ScopeRule, Table, code};
use serde_json::Value;

use super::super::request::references;
use super::work::Work;
use crate::sync::Scope;

impl Work<'_> {
    pub(super) fn may_write(&self, scope: Option<Scope>, field: &str) -> Result<(), FieldError> {
        #[cfg(feature = "faults")]
        if crate::faults::no_scope_check() {
            return Ok(());
        }
        let allowed = match scope {
            Some(Scope::User(user)) => user == self.push.caller.user,
            Some(Scope::Global) => self.push.caller.role.is_admin(),
            None => false,
        };
        if allowed { Ok(()) } else { Err(forbidden(field)) }
    }

    pub(super) fn owner_of(&self, table: &Table, row: &Row) -> Result<Scope, FieldError> {
        let user = |column: &str| match row.get(column) {
            None | Some(Value::Null) => Ok(Scope::Global),
            Some(Value::String(id)) => format!("user:{id}").parse().map_err(|_| forbidden(column)),
            Some(_) => Err(forbidden(column)),
        };
        match table.scope {
            ScopeRule::Person => user("id"),
            ScopeRule::Owner | ScopeRule::OwnerOrGlobal => user("user_id"),
            ScopeRule::Via { column, parent } => {
                let id = row.get(column).and_then(Value::as_str).unwrap_or_default();
                self.batch.owner(&self.push.registry, parent, id).ok_or_else(|| unknown_reference(column))
            }
        }
    }

    /// What a row refers to must be its owner's or the catalogue's, and a person oneself. What is somebody else's and what is not
    /// there get the same answer. Whom a row that comes back has named before, it may name again.
    pub(super) fn check_references(
        &self,
        table: &Table,
        row: &Row,
        scope: Option<Scope>,
        former: Option<&Row>,
        is_new: impl Fn(&str) -> bool,
    ) -> Result<(), FieldError> {
        #[cfg(feature = "faults")]
        if crate::faults::no_scope_check() {
            return Ok(());
        }
        for (column, parent, id) in references(table, row).filter(|(column, _, _)| is_new(column)) {
            let is_seen = if parent == PEOPLE {
                id == self.push.caller.user.to_string() || former.and_then(|row| row.get(column)) == row.get(column)
            } else {
                let owner = self.batch.owner(&self.push.registry, parent, &id);
                owner.is_some_and(|owner| owner == Scope::Global || Some(owner) == scope)
            };
            if !is_seen {
                return Err(unknown_reference(column));
            }
        }
        Ok(())
    }
}

/// Whether a new row says whose it is. In the catalogue's tables only an explicit null means the catalogue.
pub(super) fn row_has_owner(row: &Row, table: &Table, brought: bool) -> bool {
    match row.get("user_id") {
        Some(Value::Null) | None => brought && table.scope == ScopeRule::OwnerOrGlobal,
        Some(_) => true,
    }
}

pub(super) fn via(table: &Table) -> Option<&'static str> {
    match table.scope {
        ScopeRule::Via { column, .. } => Some(column),
        _ => None,
    }
}

/// The field to name when the owner is at fault.
pub(super) fn owner_column(table: &Table) -> &'static str {
    match table.scope {
        ScopeRule::Person => "id",
        ScopeRule::Owner | ScopeRule::OwnerOrGlobal => "user_id",
        ScopeRule::Via { column, .. } => column,
    }
}

pub(super) fn forbidden(field: &str) -> FieldError {
    FieldError::new(field, code::FORBIDDEN, "not yours to write or to refer to")
}

/// The column that a foreign key is of, by the key's name; empty when the name does not tell.
pub(super) fn referring<'t>(table: &'t Table, key: &str) -> &'t str {
    table.references().map(|(column, _)| column).find(|column| key.contains(column)).unwrap_or_default()
}

pub(super) fn unknown_reference(column: &str) -> FieldError {
    FieldError::new(
        column,
        code::INVALID_REFERENCE,
        "refers to a row that does not exist, or that is not yours to refer to",
    )
}
