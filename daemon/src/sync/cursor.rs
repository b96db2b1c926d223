//! A cursor: "I have everything up to here".
//!
//! As JSON `{"epoch":"k3f9","user":41,"global":7}`, in a query string `k3f9,user:41,global:7`.
//!
//! A copy that was begun from zero and is still being paged may stand below the floor of its scope: it needs none
//! of the pruned tombstones, since it never saw their rows. Its cursor says so by naming where the scope stood when the
//! copy was begun (`user_begun`, `global_begun`); such a cursor is handed out only where it makes a difference.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::ids::{InvalidId, Scope, Version};

/// The longest epoch; ours are shorter.
const LONGEST_EPOCH: usize = 64;
/// Stands for what can be no epoch of ours. None of them is so short.
const FOREIGN: &str = "0";

/// "I have everything up to here", for the two scopes that a person reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch that the versions belong to. Empty: of no epoch yet, so of any.
    #[serde(default, deserialize_with = "epoch")]
    pub epoch: String,
    /// The last version held of the person's own scope.
    #[serde(default, deserialize_with = "null_as_default")]
    pub user: Version,
    /// The last version held of the catalogue.
    #[serde(default, deserialize_with = "null_as_default")]
    pub global: Version,
    /// The version of the person's scope at which this copy was begun from zero.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub user_begun: Version,
    /// The version of the catalogue at which this copy was begun from zero.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub global_begun: Version,
}

impl Cursor {
    /// A cursor of `epoch` that holds nothing.
    #[must_use]
    pub fn zero(epoch: &str) -> Self {
        Self { epoch: epoch.to_owned(), ..Self::default() }
    }

    /// The last version held of `scope`.
    #[must_use]
    pub fn at(&self, scope: Scope) -> Version {
        match scope {
            Scope::Global => self.global,
            Scope::User(_) => self.user,
        }
    }

    /// Moves to `version` in `scope`.
    pub fn set(&mut self, scope: Scope, version: Version) {
        match scope {
            Scope::Global => self.global = version,
            Scope::User(_) => self.user = version,
        }
    }

    /// The version of `scope` at which this copy was begun, or 0 when that is not known.
    #[must_use]
    pub fn begun(&self, scope: Scope) -> Version {
        match scope {
            Scope::Global => self.global_begun,
            Scope::User(_) => self.user_begun,
        }
    }

    /// Notes where `scope` stood when this copy was begun.
    pub fn set_begun(&mut self, scope: Scope, version: Version) {
        match scope {
            Scope::Global => self.global_begun = version,
            Scope::User(_) => self.user_begun = version,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},user:{},global:{}", self.epoch, self.user, self.global)?;
        for (name, version) in [("user_begun", self.user_begun), ("global_begun", self.global_begun)] {
            if version > 0 {
                write!(f, ",{name}:{version}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: InvalidId = InvalidId("a cursor is <epoch>,user:<version>,global:<version>");
        let mut parts = text.split(',');
        let epoch = parts.next().unwrap_or_default();
        if epoch.contains(':') {
            return Err(FORM);
        }
        let mut cursor = Self::zero(if is_epoch(epoch) { epoch } else { FOREIGN });
        for part in parts {
            let (name, version) = part.split_once(':').ok_or(FORM)?;
            let version: Version = version.parse().map_err(|_| FORM)?;
            let field = match name {
                "user" => &mut cursor.user,
                "global" => &mut cursor.global,
                "user_begun" => &mut cursor.user_begun,
                "global_begun" => &mut cursor.global_begun,
                _ => return Err(FORM),
            };
            *field = version;
        }
        cursor.checked().ok_or(FORM)
    }
}

impl Cursor {
    /// `None` when a version is below zero, which no cursor of ours is.
    #[must_use]
    pub fn checked(self) -> Option<Self> {
        let lowest = self.user.min(self.global).min(self.user_begun).min(self.global_begun);
        (lowest >= 0).then_some(self)
    }
}

fn is_epoch(text: &str) -> bool {
    text.len() <= LONGEST_EPOCH && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Reads an epoch. A text that can't be one of ours counts as another epoch, like any that we do not know.
fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text: String = null_as_default(deserializer)?;
    Ok(if is_epoch(&text) { text } else { FOREIGN.to_owned() })
}

fn is_zero(version: &Version) -> bool {
    *version == 0
}

/// In a request `null` is the same as absent.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_scope_is_zero() {
        let cursor: Cursor = serde_json::from_str(r#"{"epoch":"k3f9","user":41}"#).unwrap();
        assert_eq!(cursor, Cursor { user: 41, ..Cursor::zero("k3f9") });
        assert_eq!("k3f9,user:41".parse(), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in
            ["k3f9,user", "k3f9,user:x", "k3f9,team:1", "k3f9,user:-1", "user:1", "k3f9,user:99999999999999999999"]
        {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_can_be_no_epoch_of_ours_is_foreign() {
        for text in ["a-b", "\0", "é", &"e".repeat(65)] {
            let json = serde_json::json!({"epoch": text, "user": 7});
            let cursor: Cursor = serde_json::from_value(json).unwrap();
            assert_eq!(cursor, Cursor { user: 7, ..Cursor::zero(FOREIGN) });
            assert_eq!(format!("{text},user:7").parse(), Ok(cursor));
        }
    }

    proptest! {
        #[test]
        fn both_forms_read_what_they_write(epoch in "[a-z0-9]{1,8}", v in proptest::array::uniform4(0i64..i64::MAX)) {
            let cursor = Cursor { epoch, user: v[0], global: v[1], user_begun: v[2], global_begun: v[3] };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor.clone()));
            let json = serde_json::to_string(&cursor).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = text.parse::<Cursor>();
        }
    }
}
