//! Names that came from outside: as many of them, and as much of each, as can be one of ours.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// The most names that are read of a list.
pub const MOST_NAMES: usize = 1000;
/// The longest name that is kept, in characters. None of ours is so long, so a longer one stays unknown when it is cut.
const LONGEST_NAME: usize = 100;

/// Names that a client gave, cut where they are longer than any that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;

        impl<'de> Visitor<'de> for Listed {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(Name(name)) = seq.next_element()? {
                    if names.len() == MOST_NAMES {
                        return Err(A::Error::custom(format_args!("names more than {MOST_NAMES}")));
                    }
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_seq(Listed)
    }
}

/// One name, cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Name, E> {
                Ok(Name(cut(text)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A name, or another text that only has to be recognised, no longer than any that there is.
#[must_use]
pub fn cut(text: &str) -> String {
    text.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_short() {
        let names: Names = serde_json::from_str(&format!(r#"["foods","{}"]"#, "é".repeat(5000))).unwrap();
        assert_eq!((names.0[0].as_str(), names.0[1].chars().count()), ("foods", LONGEST_NAME));
        let many = format!("[{}]", vec![r#""a""#; MOST_NAMES + 1].join(","));
        assert!(serde_json::from_str::<Names>(&many).is_err());
    }
}
