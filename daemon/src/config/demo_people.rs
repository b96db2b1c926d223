//! The key that lets the demo page make people, and the rule where the key is left alone.

use std::net::IpAddr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The words that the key takes.
const WORDS: &[&str] = &["auto", "true", "false"];

/// The switch of `POST /demo/people`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DemoPeople {
    /// On where the daemon listens on this machine alone, on a database of its own.
    #[default]
    Auto,
    /// Everywhere, still for this machine alone.
    On,
    /// Nowhere.
    Off,
}

impl DemoPeople {
    /// Checks that the demo page may make people on a daemon that listens at `address`; the error says why not.
    ///
    /// # Errors
    /// The reason, for whoever asks for one.
    pub fn allowed(self, address: IpAddr, is_adopted: bool) -> Result<(), &'static str> {
        match self {
            Self::On => Ok(()),
            Self::Off => Err("throw-away people are switched off here (dev.demo_people); `ryzed token` makes a token"),
            Self::Auto if is_adopted => Err(
                "an adopted database gets no throw-away people unless dev.demo_people is true; `ryzed token` makes a token",
            ),
            Self::Auto if !address.to_canonical().is_loopback() => Err(
                "a daemon that listens on more than this machine makes no throw-away people unless dev.demo_people is \
                 true; `ryzed token` makes a token",
            ),
            Self::Auto => Ok(()),
        }
    }
}

impl Serialize for DemoPeople {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::On => serializer.serialize_bool(true),
            Self::Off => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for DemoPeople {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

/// Reads a switch in a file, and what stands for one in a variable of the environment.
struct Words;

impl Visitor<'_> for Words {
    type Value = DemoPeople;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"auto\", true or false")
    }

    fn visit_bool<E: Error>(self, is_on: bool) -> Result<DemoPeople, E> {
        Ok(if is_on { DemoPeople::On } else { DemoPeople::Off })
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<DemoPeople, E> {
        match word {
            "auto" => Ok(DemoPeople::Auto),
            "true" | "1" => Ok(DemoPeople::On),
            "false" | "0" => Ok(DemoPeople::Off),
            _ => Err(E::unknown_variant(word, WORDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn it_is_a_switch_or_a_word() {
        for (text, meant) in [
            (json!(true), DemoPeople::On),
            (json!("1"), DemoPeople::On),
            (json!("false"), DemoPeople::Off),
            (json!("auto"), DemoPeople::Auto),
        ] {
            assert_eq!(from_value::<DemoPeople>(text).unwrap(), meant);
        }
        assert!(from_value::<DemoPeople>(json!("maybe")).is_err());
        for each in [DemoPeople::Auto, DemoPeople::On, DemoPeople::Off] {
            assert_eq!(from_value::<DemoPeople>(json!(each)).unwrap(), each);
        }
    }

    #[test]
    fn by_itself_it_is_on_for_this_machine_and_a_database_of_ones_own() {
        let at = |address: &str| address.parse().unwrap();
        for home in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(DemoPeople::Auto.allowed(at(home), false).is_ok(), "{home}");
            assert!(DemoPeople::Auto.allowed(at(home), true).is_err());
            assert!(DemoPeople::Off.allowed(at(home), false).is_err());
        }
        for open in ["0.0.0.0", "::", "192.168.1.5", "8.8.8.8"] {
            assert!(DemoPeople::Auto.allowed(at(open), false).is_err(), "{open}");
            assert!(DemoPeople::On.allowed(at(open), true).is_ok());
        }
    }
}
