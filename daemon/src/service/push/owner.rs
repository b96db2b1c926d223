//! Ownership of rows: a person writes and refers to their own rows; an admin the catalogue too.

use ryzed_adapters::{FieldError, PEOPLE, Row, ScopeRule, Table, code};
use serde_json::Value;

use super::super::request::references;
use super::Push;
use super::rights::{NOT_THERE, forbidden, unknown_reference};
use super::run::{PushRun, Refusal};
use crate::sync::Scope;

/// What a device is told of a row that is to be a part of another one.
const NO_PARENT: &str = "is to be a part of a row that is not there, or not yours: it never was, was refused, or was deleted \
                         (here, or so long ago that nobody knows any more what it was); upload that row first";

impl Push {
    pub(super) fn may_write(&self, scope: Option<Scope>) -> bool {
        #[cfg(feature = "faults")]
        if crate::faults::no_scope_check() {
            return true;
        }
        match scope {
            Some(Scope::User(user)) => user == self.caller.user,
            Some(Scope::Global) => self.caller.role.is_admin(),
            None => false,
        }
    }
}

impl PushRun<'_> {
    pub(super) fn may_write(&self, scope: Option<Scope>, field: &str) -> Result<(), FieldError> {
        if self.push.may_write(scope) { Ok(()) } else { Err(forbidden(field)) }
    }

    pub(super) fn owner_of(&self, table: &Table, row: &Row) -> Result<Scope, Refusal> {
        let user = |column: &str| match row.get(column) {
            None | Some(Value::Null) => Ok(Scope::Global),
            Some(Value::String(id)) => format!("user:{id}").parse().map_err(|_| forbidden(column).into()),
            Some(_) => Err(forbidden(column).into()),
        };
        match table.scope {
            ScopeRule::Via { column, parent } => {
                let id = row.get(column).and_then(Value::as_str).unwrap_or_default();
                self.owner_above(column, parent, id, NO_PARENT)
            }
            own => user(own.column()),
        }
    }

    /// Checks that each reference is to a row of the owner's or of the catalogue, or to the person. Somebody else's row
    /// and a missing one get the same answer. A row that comes back may keep the references that it had before.
    pub(super) fn check_references(
        &self,
        table: &Table,
        row: &Row,
        scope: Option<Scope>,
        former: Option<&Row>,
        is_new: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "faults")]
        if crate::faults::no_scope_check() {
            return Ok(());
        }
        for (column, parent, id) in references(table, row).filter(|(column, _, _)| is_new(column)) {
            let is_seen = if parent == PEOPLE {
                id == self.push.caller.user.to_string() || former.and_then(|row| row.get(column)) == row.get(column)
            } else {
                let owner = self.owner_above(column, parent, &id, NOT_THERE)?;
                owner == Scope::Global || Some(owner) == scope
            };
            if !is_seen {
                return Err(unknown_reference(column).into());
            }
        }
        Ok(())
    }

    /// The owner of the row that `column` refers to. An unknown row of a stopped table may be there all the same.
    fn owner_above(&self, column: &str, parent: &str, id: &str, message: &str) -> Result<Scope, Refusal> {
        if self.waits(parent, id) {
            return Err(Refusal::Waits);
        }
        match self.cache.owner(&self.push.registry, parent, id) {
            Some(owner) => Ok(owner),
            None if self.stopped.has(parent) => Err(Refusal::Waits),
            None => Err(FieldError::new(column, code::INVALID_REFERENCE, message).into()),
        }
    }
}
