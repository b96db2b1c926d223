//! The owner of a file's rows, and the ids that rows without one get.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, Registry, Row, Table, code};
use serde_json::Value;
use uuid::{Uuid, uuid};

use crate::auth::{Caller, Role};
use crate::sync::{Scope, UserId};

/// Under this name all ids are made that a file does not bring. It must never change: a file that is imported again is
/// known by it.
const NAMESPACE: Uuid = uuid!("515db426-9a6c-4b09-a2d3-e324eee7b70c");

/// The owner of a file's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A person's.
    User(UserId),
    /// The catalogue's.
    Catalogue,
}

impl Owner {
    /// The caller that writes the rows.
    pub(super) fn caller(self) -> Caller {
        let (user, role) = match self {
            Self::User(user) => (user, Role::Authenticated),
            Self::Catalogue => (UserId(Uuid::nil()), Role::ServiceRole),
        };
        Caller { user, role, email: None, expires_at: DateTime::<Utc>::MAX_UTC, token: None }
    }

    /// The scope that the rows belong to.
    pub(super) fn scope(self) -> Scope {
        match self {
            Self::User(user) => Scope::User(user),
            Self::Catalogue => Scope::Global,
        }
    }

    /// Makes a row of a file the owner's, and gives it an id unless it has one. What contradicts is left as it is: the
    /// service refuses it.
    pub(super) fn claim(self, registry: &Registry, table: &Table, row: &mut Row) -> Result<(), FieldError> {
        row.remove("_version");
        if self == Self::Catalogue {
            if !registry.has_catalogue(table) {
                let message = format!("{} belong to a person, not to the catalogue; give --user", table.name);
                return Err(FieldError::new("table", code::NOT_ALLOWED, message));
            }
            if table.scope.has_user_id() {
                row.entry("user_id").or_insert(Value::Null);
            }
        }
        if row.get("id").is_none_or(Value::is_null) {
            let id = self.id_of(table.name, &content(table, row));
            row.insert("id".into(), id.to_string().into());
        }
        Ok(())
    }

    /// The id of what is described by `content`.
    pub(super) fn id_of(self, table: &str, content: &str) -> Uuid {
        Uuid::new_v5(&NAMESPACE, format!("{}\n{table}\n{content}", self.scope()).as_bytes())
    }
}

/// A row's content as one text, whatever the order of its fields and the spelling of its values. A null says no more than
/// an absent field.
fn content(table: &Table, row: &Row) -> String {
    let said: BTreeMap<&str, Value> = row
        .iter()
        .filter(|(name, value)| !value.is_null() && !matches!(name.as_str(), "id" | "user_id" | "updated_at"))
        .map(|(name, value)| {
            let one_form = table.column(name).and_then(|column| column.kind.canonical(value.clone()));
            (name.as_str(), sorted(one_form.unwrap_or_else(|| value.clone())))
        })
        .collect();
    serde_json::to_string(&said).unwrap_or_default()
}

/// The same value with the keys of its objects in order, however the JSON library keeps them.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.into_iter().collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(owner: Owner, row: Value) -> String {
        let registry = Registry::standard();
        let Value::Object(mut row) = row else { panic!("a row is an object") };
        owner.claim(&registry, registry.get("foods").unwrap(), &mut row).unwrap();
        row["id"].as_str().unwrap().to_owned()
    }

    #[test]
    fn equal_content_has_one_id() {
        let one = id(Owner::Catalogue, json!({"name_en": "Fig", "calories": 74.0, "fats": null, "_version": 3}));
        assert_eq!(one, id(Owner::Catalogue, json!({"calories": 74, "name_en": "Fig"})));
        assert_ne!(one, id(Owner::Catalogue, json!({"calories": 75, "name_en": "Fig"})));
        let user = Owner::User(UserId(Uuid::from_u128(7)));
        assert_ne!(one, id(user, json!({"calories": 74, "name_en": "Fig"})));
    }

    #[test]
    fn an_id_of_its_own_stays() {
        let own = "e076c2a5-1478-58a5-b583-298d951b62f5";
        assert_eq!(id(Owner::Catalogue, json!({"id": own, "name_en": "Fig"})), own);
    }

    #[test]
    fn the_catalogue_takes_what_belongs_to_nobody() {
        let registry = Registry::standard();
        let has = |name: &str| registry.has_catalogue(registry.get(name).unwrap());
        assert!(has("foods") && has("workout_template_exercises"));
        assert!(!has("users") && !has("food_entries") && !has("location_points"));
    }
}
