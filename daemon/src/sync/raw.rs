//! JSON that came from outside, judged while it is read: what it would take in memory, how deep it is, how much it lists.
//! Nothing is kept before that is known.

use std::fmt;

use ryzed_adapters::{Row, code};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::names::Name;
use super::strangers::Strangers;
use super::words::plain;

/// Memory that a value takes in its place, with the room that a list reserves in advance, in bytes.
const VALUE: usize = 48;
/// Memory that a list takes besides its values, in bytes.
const LIST: usize = 64;
/// Memory that an object takes with its first few members, and that each further one adds, in bytes.
const OBJECT: usize = 640;
const MEMBERS: usize = 6;
const MEMBER: usize = 112;
/// Memory that a text takes besides its content, in bytes.
const TEXT: usize = 16;

/// The most uploads that are kept, whatever the configuration allows; further ones are only counted.
pub const MOST_CHANGES: usize = 100_000;

/// The size and depth of a JSON text, measured without keeping any of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// An upper bound of the memory that its values take, in bytes.
    pub bytes: usize,
    /// The nesting depth of its lists and objects.
    pub depth: usize,
}

/// Some JSON can't be taken.
#[derive(Debug)]
pub enum Unfit {
    /// Its values would take more memory than was allowed.
    TooHeavy,
    /// It is no JSON, or deeper than any parser follows.
    NotJson(serde_json::Error),
}

/// Measures `text`, reading to its end unless it gets heavier than `most` bytes.
///
/// # Errors
/// When it does, and when it is no JSON.
pub fn weigh(text: &[u8], most: usize) -> Result<Weight, Unfit> {
    let mut scales = Scales { most, weight: Weight::default() };
    let mut parser = serde_json::Deserializer::from_slice(text);
    let read = Weighed { scales: &mut scales, depth: 0 }.deserialize(&mut parser).and_then(|()| parser.end());
    match read {
        _ if scales.weight.bytes > most => Err(Unfit::TooHeavy),
        Err(error) => Err(Unfit::NotJson(error)),
        Ok(()) => Ok(scales.weight),
    }
}

struct Scales {
    most: usize,
    weight: Weight,
}

impl Scales {
    fn add<E: Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.weight.bytes += bytes;
        if self.weight.bytes > self.most { Err(E::custom("too heavy")) } else { Ok(()) }
    }
}

/// A value that is weighed and let go.
struct Weighed<'s> {
    scales: &'s mut Scales,
    depth: usize,
}

impl Weighed<'_> {
    fn simple<E: Error>(self) -> Result<(), E> {
        self.scales.add(VALUE)
    }

    fn opens<E: Error>(&mut self, bytes: usize) -> Result<usize, E> {
        let depth = self.depth + 1;
        self.scales.weight.depth = self.scales.weight.depth.max(depth);
        self.scales.add(VALUE + bytes)?;
        Ok(depth)
    }
}

impl<'de> DeserializeSeed<'de> for Weighed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Weighed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.simple()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.simple()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.simple()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.simple()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.simple()
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.scales.add(VALUE + TEXT + text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let depth = self.opens(LIST)?;
        while list.next_element_seed(Weighed { scales: &mut *self.scales, depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let depth = self.opens(0)?;
        let mut members = 0;
        while map.next_key_seed(Weighed { scales: &mut *self.scales, depth })?.is_some() {
            members += 1;
            match members {
                1 => self.scales.add(OBJECT)?,
                ..=MEMBERS => {}
                _ => self.scales.add(MEMBER)?,
            }
            map.next_value_seed(Weighed { scales: &mut *self.scales, depth })?;
        }
        Ok(())
    }
}

/// The nesting depth of lists and objects in a parsed value.
#[must_use]
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The uploads of a request: as they came, to be read one by one.
#[derive(Debug, Clone, Default)]
pub struct Uploads {
    /// Those that are kept.
    pub list: Vec<Box<RawValue>>,
    /// The number of changes in the request.
    pub count: usize,
    /// Keys of them, and of what they came with, that nothing reads.
    pub ignored: Strangers,
    /// The memory that the whole request takes once it is parsed, in bytes; 0 where nobody has to answer for that.
    pub weight: usize,
}

impl<'de> Deserialize<'de> for Uploads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;

        impl<'de> Visitor<'de> for Listed {
            type Value = Uploads;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Uploads, A::Error> {
                let mut uploads = Uploads::default();
                while uploads.list.len() < MOST_CHANGES {
                    let Some(upload) = seq.next_element()? else { break };
                    uploads.list.push(upload);
                }
                uploads.count = uploads.list.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    uploads.count += 1;
                }
                let mut ignored = Strangers::default();
                ignored.add_uploads(&uploads);
                uploads.ignored = ignored;
                Ok(uploads)
            }
        }

        deserializer.deserialize_seq(Listed)
    }
}

/// The code of a field error, and its words, for what a parser found wrong with a value.
#[must_use]
pub fn fault(error: &serde_json::Error) -> (&'static str, String) {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let code = match message {
        _ if message.starts_with("missing field") => code::REQUIRED,
        _ if message.starts_with("unknown field") => code::UNKNOWN_FIELD,
        _ if message.starts_with("unknown variant") => code::NOT_ALLOWED,
        // A list is read as the fields in their order, and has the wrong number of them.
        _ if message.starts_with("invalid type") || message.starts_with("invalid length") => code::WRONG_TYPE,
        _ => code::INVALID_FORMAT,
    };
    (code, plain(message))
}

/// The limits on a row from outside.
#[derive(Debug, Clone, Copy)]
pub struct RowBounds {
    /// The most fields.
    pub fields: usize,
    /// The greatest nesting depth of a value.
    pub depth: usize,
}

/// Why a row can't be taken.
#[derive(Debug, PartialEq, Eq)]
pub enum BadRow {
    /// It is no object.
    NoObject,
    /// It has more fields than it may.
    TooManyFields,
    /// It names this field twice.
    Twice(String),
    /// The value of this field is deeper than it may be.
    TooDeep(String),
}

/// Reads a row that came from outside.
///
/// # Errors
/// When it is beyond `bounds` or names a field twice, which no two readers understand alike.
pub fn row(text: &RawValue, bounds: RowBounds) -> Result<Row, BadRow> {
    let mut fault = None;
    let mut parser = serde_json::Deserializer::from_str(text.get());
    let read = RowReader { bounds, fault: &mut fault }.deserialize(&mut parser);
    read.map_err(|_| fault.unwrap_or(BadRow::NoObject))
}

struct RowReader<'f> {
    bounds: RowBounds,
    fault: &'f mut Option<BadRow>,
}

impl<'de> DeserializeSeed<'de> for RowReader<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowReader<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut refused = |fault: BadRow| {
            *self.fault = Some(fault);
            Err(A::Error::custom("beyond its bounds"))
        };
        let mut row = Row::new();
        while let Some(Name(name)) = map.next_key()? {
            if row.contains_key(&name) {
                return refused(BadRow::Twice(name));
            }
            if row.len() == self.bounds.fields {
                return refused(BadRow::TooManyFields);
            }
            let value: Value = map.next_value()?;
            if depth(&value) > self.bounds.depth {
                return refused(BadRow::TooDeep(name));
            }
            row.insert(name, value);
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MOST: usize = 1 << 20;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn what_is_small_as_text_weighs_what_it_takes_in_memory() {
        for (element, least) in [("0", 32), ("[]", 32), ("{}", 32), (r#"{"":0}"#, 600), (r#""x""#, 33)] {
            let list = format!("[{}]", vec![element; 1000].join(","));
            assert!(weigh(list.as_bytes(), MOST).unwrap().bytes >= least * 1000, "{element}");
        }
        let heavy = format!("[{}]", vec!["{\"\":0}"; 100_000].join(","));
        assert!(matches!(weigh(heavy.as_bytes(), MOST), Err(Unfit::TooHeavy)));
    }

    #[test]
    fn depth_is_that_of_lists_and_objects() {
        for (text, deep) in [("7", 0), ("[]", 1), (r#"{"a":[[1],2]}"#, 3), (r#"[{"a":{"b":"c"}},[[[]]]]"#, 4)] {
            assert_eq!(weigh(text.as_bytes(), MOST).unwrap().depth, deep, "{text}");
            assert_eq!(depth(&serde_json::from_str(text).unwrap()), deep, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_too_much() {
        for bad in ["", "{", "[1,", "{} {}", "nope", &"[".repeat(10_000)] {
            assert!(matches!(weigh(bad.as_bytes(), MOST), Err(Unfit::NotJson(_))), "{bad:.20}");
        }
    }

    #[test]
    fn uploads_stay_as_they_came_and_are_counted() {
        let uploads: Uploads = serde_json::from_str(r#"[{"a": 1.50}, 7]"#).unwrap();
        assert_eq!((uploads.count, uploads.list[0].get()), (2, r#"{"a": 1.50}"#));
        let many = format!("[{}]", vec!["0"; MOST_CHANGES + 5].join(","));
        let uploads: Uploads = serde_json::from_str(&many).unwrap();
        assert_eq!((uploads.count, uploads.list.len()), (MOST_CHANGES + 5, MOST_CHANGES));
    }

    #[test]
    fn a_row_within_its_bounds_is_read_and_others_say_why_not() {
        let bounds = RowBounds { fields: 2, depth: 2 };
        assert_eq!(
            row(&raw(r#"{"a":[[1]],"b":null}"#), bounds),
            Ok(json!({"a": [[1]], "b": null}).as_object().unwrap().clone())
        );
        for (text, fault) in [
            ("7", BadRow::NoObject),
            ("[1]", BadRow::NoObject),
            (r#"{"a":1,"b":2,"c":3}"#, BadRow::TooManyFields),
            (r#"{"a":1,"a":2}"#, BadRow::Twice("a".into())),
            (r#"{"a":[[[]]]}"#, BadRow::TooDeep("a".into())),
        ] {
            assert_eq!(row(&raw(text), bounds), Err(fault), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_weighed_or_refused(text in ".*") {
            let read = serde_json::from_str::<Value>(&text).is_ok();
            prop_assert_eq!(weigh(text.as_bytes(), usize::MAX).is_ok(), read);
        }
    }
}
