//! The sizes of rows: as text, and in memory.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use ryzed_adapters::Row;
use serde_json::Value;

/// Memory that any value takes, in bytes.
const VALUE: usize = size_of::<Value>();
/// The number of fields that an object reserves memory for at once, however few it has.
const FIELDS: usize = 8;
const OF_FIELDS: usize = 640;

/// The size of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// The bytes of its JSON text.
    pub bytes: usize,
    /// The values that it consists of, itself included.
    pub values: usize,
    /// About the bytes that it takes in memory.
    pub memory: usize,
}

impl Weight {
    /// Of a value.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        Self::within(value, usize::MAX).unwrap_or(Self { bytes: usize::MAX, values: usize::MAX, memory: usize::MAX })
    }

    /// Of a value whose text has no more than so many bytes; looks at no more of it.
    #[must_use]
    pub fn within(value: &Value, bytes: usize) -> Option<Self> {
        let mut weight = Self::default();
        weight.add_value(value, bytes).then_some(weight)
    }

    /// Of a field, with its name and what stands round it.
    #[must_use]
    pub fn of_field(name: &str, value: &Value) -> Self {
        const PUNCTUATION: usize = r#""":,"#.len();
        Self { bytes: name.len() + PUNCTUATION, values: 0, memory: name.len() + OF_FIELDS / FIELDS } + Self::of(value)
    }

    /// Of a row.
    #[must_use]
    pub fn of_row(row: &Row) -> Self {
        row.iter().map(|(name, value)| Self::of_field(name, value)).sum()
    }

    /// True if the text or the values exceed `most` and have grown beyond `before`.
    #[must_use]
    pub fn outgrows(self, most: Self, before: Self) -> bool {
        self.bytes > most.bytes.max(before.bytes) || self.values > most.values.max(before.values)
    }

    /// Values within values are as deep as the parser lets them be. False as soon as there are more than `most` bytes.
    fn add_value(&mut self, value: &Value, most: usize) -> bool {
        self.values += 1;
        self.memory += VALUE;
        match value {
            Value::Null => self.add_bytes("null".len(), most),
            Value::Bool(is_true) => self.add_bytes(if *is_true { "true".len() } else { "false".len() }, most),
            Value::Number(number) => self.add_bytes(number.to_string().len(), most),
            Value::String(text) => self.add_text(text, most),
            Value::Array(items) => {
                let punctuation = 2 + items.len().saturating_sub(1);
                self.add_bytes(punctuation, most) && items.iter().all(|item| self.add_value(item, most))
            }
            Value::Object(fields) => {
                let punctuation = 2 + (2 * fields.len()).saturating_sub(1);
                self.memory += fields.len().div_ceil(FIELDS) * OF_FIELDS;
                self.add_bytes(punctuation, most)
                    && fields.iter().all(|(name, value)| self.add_text(name, most) && self.add_value(value, most))
            }
        }
    }

    fn add_text(&mut self, text: &str, most: usize) -> bool {
        self.memory = self.memory.saturating_add(text.len());
        // What is too long anyway is not read for what has to be escaped.
        self.bytes.saturating_add(text.len()) <= most
            && self.add_bytes(2 + text.bytes().map(escaped).sum::<usize>(), most)
    }

    fn add_bytes(&mut self, bytes: usize, most: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= most
    }
}

impl Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            values: self.values.saturating_add(other.values),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Weight {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            values: self.values.saturating_sub(other.values),
            memory: self.memory.saturating_sub(other.memory),
        }
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The number of bytes that one byte of a text takes in JSON.
fn escaped(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_weighs_what_its_text_does(value in any_value()) {
            let text = value.to_string().len();
            prop_assert_eq!(Weight::of(&value).bytes, text);
            prop_assert_eq!(Weight::within(&value, text), Some(Weight::of(&value)));
            prop_assert_eq!(Weight::within(&value, text - 1), None);
        }

        #[test]
        fn weights_go_along_with_edits(name in "[a-z]{1,8}", before in ".{0,40}", after in ".{0,40}") {
            let (before, after) = (json!({"id": 1, name.as_str(): before}), json!({"id": 1, name.as_str(): after}));
            let of = |row: &Value| Weight::of_row(row.as_object().unwrap());
            let field = |row: &Value| Weight::of_field(&name, &row[&name]);
            prop_assert_eq!(of(&before) - field(&before) + field(&after), of(&after));
            // The braces, but for one comma too many.
            prop_assert_eq!(of(&before).bytes, before.to_string().len() - 1);
        }
    }
}
