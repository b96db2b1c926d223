//! One column, as the struct's JSON Schema describes it.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::Merge;

/// One column of a synced table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name in the database and on the wire.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// True if an insert must bring it.
    pub required: bool,
    /// True if it may be `null`.
    pub nullable: bool,
    /// The value stored when an insert does not bring it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The table that it points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The merge rule for the `merge` strategy.
    pub merge: Merge,
    /// True if devices may not write it.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// True if nobody may write it, as the database alone computes its value.
    #[serde(skip)]
    pub is_computed: bool,
    /// True if the database has a default for a row that does not bring a value.
    #[serde(skip)]
    pub fills_itself: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A UUID, lower case with hyphens.
    Uuid,
    /// RFC 3339 in UTC with microseconds.
    Time,
    /// A finite number.
    Number,
    /// A whole number of at most 32 bits.
    Integer,
    /// True or false.
    Bool,
    /// UTF-8 without U+0000, which PostgreSQL can't hold.
    Text,
    /// A list of texts.
    TextList,
    /// Any JSON.
    Json,
}

impl Kind {
    /// The kind that a property of a JSON Schema describes.
    pub(crate) fn of_property(property: &Value) -> Self {
        let format = property.get("format").and_then(Value::as_str);
        match (type_of(property), format) {
            ("string", Some("uuid")) => Self::Uuid,
            ("string", Some("date-time")) => Self::Time,
            ("string", _) => Self::Text,
            ("number", _) => Self::Number,
            ("integer", _) => Self::Integer,
            ("boolean", _) => Self::Bool,
            ("array", _) if property.pointer("/items/type") == Some(&Value::from("string")) => Self::TextList,
            _ => Self::Json,
        }
    }

    /// Tells a value that a field of this kind may have on the wire, or null, from others.
    #[must_use]
    pub fn says(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) | (Self::Json, _) | (Self::Bool, Value::Bool(_)) | (Self::Number, Value::Number(_)) => {
                true
            }
            (Self::Text, Value::String(_)) => true,
            (Self::TextList, Value::Array(items)) => items.iter().all(Value::is_string),
            (Self::Uuid | Self::Time, Value::String(_)) | (Self::Integer, Value::Number(_)) => {
                self.canonical(value.clone()).is_some()
            }
            _ => false,
        }
    }

    /// The value in the one form that is stored and sent, or `None` when it can't be stored.
    /// Expects a value that the table's schema has accepted.
    #[must_use]
    pub fn canonical(self, value: Value) -> Option<Value> {
        match (self, &value) {
            (_, Value::Null) => Some(value),
            (Self::Uuid, Value::String(text)) => uuid::Uuid::try_parse(text).ok().map(|id| id.to_string().into()),
            (Self::Time, Value::String(text)) => {
                let time = DateTime::parse_from_rfc3339(text).ok()?;
                // Through microseconds: drops nanoseconds and folds leap seconds.
                let time = DateTime::<Utc>::from_timestamp_micros(time.timestamp_micros())?;
                is_in_calendar(time).then(|| format_time(time).into())
            }
            (Self::Integer, Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| number.as_f64().map(|n| n as i64))?;
                i32::try_from(whole).ok().filter(|n| number.as_f64() == Some(f64::from(*n))).map(Value::from)
            }
            (Self::Number, Value::Number(number)) => whole_when_exact(number.as_f64()?),
            _ if holds_nul(&value) => None,
            _ => Some(value),
        }
    }
}

/// A time as it travels and as SQLite stores it: RFC 3339, UTC, microseconds, 27 characters,
/// so that text order is time order.
#[must_use]
pub fn format_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// True if both databases and the wire format can hold such a time: its year in UTC has four digits and is not 0.
#[must_use]
pub fn is_in_calendar(time: DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

/// `180.0` and `180` are one number: whole ones below 2^53 are written without a fraction.
fn whole_when_exact(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        return Some(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number)
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(key, field)| key.contains('\0') || holds_nul(field)),
        _ => false,
    }
}

/// The property's type besides "null"; empty when the schema allows any.
fn type_of(property: &Value) -> &str {
    match property.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or(""),
        _ => "",
    }
}

/// True if the property accepts `null`.
pub(crate) fn is_nullable(property: &Value) -> bool {
    match property.get("type") {
        Some(Value::Array(names)) => names.iter().any(|name| name == "null"),
        Some(_) => false,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_has_one_form() {
        assert_eq!(Kind::Number.canonical(json!(180.0)), Some(json!(180)));
        assert_eq!(Kind::Number.canonical(json!(0.1)), Some(json!(0.1)));
        assert_eq!(Kind::Integer.canonical(json!(3.0)), Some(json!(3)));
        assert_eq!(
            Kind::Time.canonical(json!("2026-05-01T10:00:00+02:00")),
            Some(json!("2026-05-01T08:00:00.000000Z"))
        );
        assert_eq!(
            Kind::Uuid.canonical(json!("E076C2A5-1478-58A5-B583-298D951B62F5")),
            Some(json!("e076c2a5-1478-58a5-b583-298d951b62f5"))
        );
    }

    #[test]
    fn what_no_database_can_hold_is_refused() {
        assert_eq!(Kind::Integer.canonical(json!(1e300)), None);
        assert_eq!(Kind::Integer.canonical(json!(3_000_000_000_i64)), None);
        assert_eq!(Kind::Text.canonical(json!("a\0b")), None);
        for time in ["0000-12-31T23:59:59Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-00:01"] {
            assert_eq!(Kind::Time.canonical(json!(time)), None, "{time}");
        }
        assert_eq!(Kind::Json.canonical(json!({"a": ["\0"]})), None);
    }
}
