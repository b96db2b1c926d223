//! Keys of a request that nothing reads, most of them misspelt. The request counts without them; its answer names them.

use std::fmt;

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::names::Name;

/// The most keys that are named.
pub const MOST_STRANGERS: usize = 10;
/// The most characters of one that are told.
const LONGEST: usize = 40;

/// Names of keys, each once, few and short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strangers {
    names: Vec<String>,
}

impl Strangers {
    /// The members of an object that nobody knows who reads it as a `T`, but for `also`.
    #[must_use]
    pub fn of<'de, T: Deserialize<'de>>(text: &[u8], also: &[&str]) -> Self {
        let known = fields_of::<T>();
        let mut strangers = Self::default();
        strangers.look(text, "", |name| known.is_empty() || known.contains(&name) || also.contains(&name));
        strangers
    }

    /// Adds those of another part of the request.
    pub fn merge(&mut self, others: &Self) {
        others.names.iter().for_each(|name| self.add(name));
    }

    /// Adds one, in signs that a header may hold.
    pub fn add(&mut self, name: &str) {
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "._-".contains(sign);
        let name: String = name.chars().take(LONGEST).map(|sign| if is_plain(sign) { sign } else { '?' }).collect();
        if self.names.len() < MOST_STRANGERS && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn look(&mut self, text: &[u8], inside: &str, is_known: impl Fn(&str) -> bool) {
        // What is no object has no members; its reader says so.
        if let Ok(Members(names)) = serde_json::from_slice(text) {
            names.iter().filter(|name| !is_known(name)).for_each(|name| self.add(&format!("{inside}{name}")));
        }
    }
}

/// The names of an object's first members.
struct Members(Vec<String>);

/// The most members that are looked at.
const MOST_MEMBERS: usize = 200;

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;

        impl<'de> Visitor<'de> for Listed {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = Vec::new();
                while let Some((Name(name), IgnoredAny)) = map.next_entry()? {
                    if names.len() < MOST_MEMBERS {
                        names.push(name);
                    }
                }
                Ok(Members(names))
            }
        }

        deserializer.deserialize_map(Listed)
    }
}

/// The fields that a type reads, as it says itself; none where it is no struct of named fields.
pub(super) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It never reads anything, so it can't be read.
    let _ = T::deserialize(Asked { fields: &mut fields });
    fields
}

struct Asked<'f> {
    fields: &'f mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("asked for its fields alone"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.fields = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::wire::SyncRequest;

    fn of(text: &str) -> Vec<String> {
        let mut strangers = Strangers::of::<SyncRequest>(text.as_bytes(), &["type"]);
        if let Ok(request) = serde_json::from_str::<SyncRequest>(text) {
            strangers.merge(&request.changes.ignored);
        }
        strangers.names
    }

    #[test]
    fn what_nobody_reads_is_named_once() {
        let text = r#"{"type":"sync","device_id":"a","chnges":[],"limits":3,"changes":[{"table":"foods","base_verison":3},
            {"base_verison":4}, 7]}"#;
        assert_eq!(of(text), ["chnges", "limits", "changes.base_verison"]);
        assert!(of(r#"{"device_id":"a","changes":null}"#).is_empty() && of("[]").is_empty());
    }

    #[test]
    fn names_are_few_short_and_fit_into_a_header() {
        let many: Vec<String> = (0..50).map(|number| format!(r#""é\n{number}{}":1"#, "x".repeat(500))).collect();
        let names = of(&format!("{{{}}}", many.join(",")));
        assert_eq!(names.len(), MOST_STRANGERS);
        assert!(names.iter().all(|name| name.len() <= LONGEST && name.starts_with("??")), "{names:?}");
    }
}
