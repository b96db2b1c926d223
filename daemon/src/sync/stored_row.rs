//! The change index's knowledge of one row, beside its values: the version of each field, and earlier values.

use ryzed_adapters::Row;
use serde_json::{Map, Value};

use super::ids::{Scope, Version};
use super::record::Operation;

/// A row's entry in the change index.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// True while the row exists.
    pub is_live: bool,
    /// Its scope; none for a row that the index does not know.
    pub scope: Option<Scope>,
    /// Its version.
    pub version: Version,
    /// The latest operation on the row.
    pub operation: Operation,
    /// `{"*": version of the insert, "column": version of its last change}`.
    pub field_versions: Map<String, Value>,
    /// `{"column": [[since, former value], …]}`, oldest first; of a tombstone the former row.
    pub previous: Map<String, Value>,
}

impl StoredRow {
    /// The version at which `field` got the value that it has, or had when the row was deleted.
    #[must_use]
    pub fn field_version(&self, field: &str) -> Version {
        let version = |key: &str| self.field_versions.get(key).and_then(Value::as_i64);
        version(field).or_else(|| version("*")).unwrap_or(self.version)
    }

    /// The value that `field` had at version `base`, when that is still known; `current` is the one that it has.
    #[must_use]
    pub fn value_at<'a>(&'a self, field: &str, base: Version, current: Option<&'a Value>) -> Option<&'a Value> {
        if self.field_version(field) <= base {
            return current.or_else(|| self.former_row()?.get(field));
        }
        if !self.is_live {
            return None;
        }
        let former = self.previous.get(field)?.as_array()?;
        former.iter().rev().find_map(|pair| {
            let since = pair.get(0)?.as_i64()?;
            (since <= base).then(|| pair.get(1)).flatten()
        })
    }

    /// The values of a deleted row before it was deleted.
    #[must_use]
    pub fn former_row(&self) -> Option<&Row> {
        (!self.is_live && self.operation == Operation::Delete).then_some(&self.previous)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> StoredRow {
        let object = |value: Value| value.as_object().unwrap().clone();
        StoredRow {
            is_live: true,
            scope: Some(Scope::Global),
            version: 9,
            operation: Operation::Update,
            field_versions: object(json!({"*": 2, "a": 9})),
            previous: object(json!({"a": [[2, 1], [5, 2]]})),
        }
    }

    #[test]
    fn a_field_without_a_version_of_its_own_has_the_inserts() {
        assert_eq!(known().field_version("a"), 9);
        assert_eq!(known().field_version("b"), 2);
    }

    #[test]
    fn a_former_value_is_found_by_the_version_it_held_at() {
        let known = known();
        let (a, b) = (json!(3), json!(1));
        let at = |base| known.value_at("a", base, Some(&a));
        assert_eq!([9, 8, 5, 4, 1].map(at), [Some(&json!(3)), Some(&json!(2)), Some(&json!(2)), Some(&json!(1)), None]);
        assert_eq!(known.value_at("b", 1, Some(&b)), None);
        assert_eq!(known.value_at("b", 2, Some(&b)), Some(&b));
    }
}
