//! The errors of a row, field by field, in words a person can act on.

use jsonschema::error::ValidationErrorKind as Fault;
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Row;

/// One field that is at fault. It names the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// The field, or empty for the row as a whole.
    pub field: String,
    /// The rule that was broken: one of [`code`].
    pub code: String,
    /// The error, with the advice that mends it.
    pub message: String,
}

/// The longest name of a field in an error, in characters. Some come from outside.
const LONGEST_FIELD: usize = 100;
/// The longest message of an error, in characters. Some quote what came from outside.
const LONGEST_MESSAGE: usize = 500;
/// The most errors that are reported for one row.
pub const MOST_ERRORS: usize = 20;

impl FieldError {
    /// An error of `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        let field = shortened(field.into(), LONGEST_FIELD);
        Self { field, code: code.to_owned(), message: shortened(message.into(), LONGEST_MESSAGE) }
    }
}

/// The first `most` of these errors; when there are more, the last says so.
#[must_use]
pub fn first_errors(mut errors: Vec<FieldError>, most: usize) -> Vec<FieldError> {
    if errors.len() > most + 1 {
        errors.truncate(most);
        errors.shrink_to_fit();
        errors.push(FieldError::new("", code::INVALID, "more is wrong than these"));
    }
    errors
}

/// The codes that a [`FieldError`] carries; `docs/errors.md` lists them for clients.
pub mod code {
    /// The table has no such column.
    pub const UNKNOWN_FIELD: &str = "unknown_field";
    /// The field must be there.
    pub const REQUIRED: &str = "required";
    /// The value has another type.
    pub const WRONG_TYPE: &str = "wrong_type";
    /// The number is too small or too large.
    pub const OUT_OF_RANGE: &str = "out_of_range";
    /// The text or list is too long or too short.
    pub const LENGTH: &str = "length";
    /// The row would be larger than a row may be.
    pub const TOO_LARGE: &str = "too_large";
    /// The text is not a UUID or a time.
    pub const INVALID_FORMAT: &str = "invalid_format";
    /// The value is none of the allowed ones.
    pub const NOT_ALLOWED: &str = "not_allowed";
    /// The time lies too far in the future.
    pub const IN_FUTURE: &str = "in_future";
    /// Two fields contradict each other.
    pub const INCONSISTENT: &str = "inconsistent";
    /// Devices don't set the column.
    pub const READ_ONLY: &str = "read_only";
    /// Any other rule of the table's schema.
    pub const INVALID: &str = "invalid";
    /// The row or the owner is somebody else's.
    pub const FORBIDDEN: &str = "forbidden";
    /// The row never was.
    pub const NOT_FOUND: &str = "not_found";
    /// The row that a reference points to does not exist, or is not to be seen.
    pub const INVALID_REFERENCE: &str = "invalid_reference";
    /// The server no longer knows enough to judge the change.
    pub const STALE: &str = "stale";
}

/// Requires `row[later] >= row[earlier]` where both are there: times as text, numbers as numbers.
#[must_use]
pub fn ordered(row: &Row, earlier: &str, later: &str) -> Option<FieldError> {
    let in_order = match (row.get(earlier)?, row.get(later)?) {
        (Value::String(a), Value::String(b)) => a <= b,
        (Value::Number(a), Value::Number(b)) => a.as_f64() <= b.as_f64(),
        _ => true,
    };
    (!in_order).then(|| FieldError::new(later, code::INCONSISTENT, format!("must not be less than {earlier}")))
}

/// One fault of the schema as errors of fields.
pub(crate) fn errors_of(error: &ValidationError<'_>) -> Vec<FieldError> {
    let field = error.instance_path().as_str().split('/').nth(1).unwrap_or_default().to_owned();
    let one = |code: &str, message: String| vec![FieldError::new(field.clone(), code, message)];
    match error.kind() {
        Fault::AdditionalProperties { unexpected } | Fault::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|name| FieldError::new(name, code::UNKNOWN_FIELD, "the table has no such column"))
            .collect(),
        Fault::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![FieldError::new(name, code::REQUIRED, "must be given")]
        }
        Fault::Type { .. } => one(code::WRONG_TYPE, "has the wrong type; see the table's schema".into()),
        Fault::Minimum { limit } => one(code::OUT_OF_RANGE, format!("must be at least {limit}")),
        Fault::ExclusiveMinimum { limit } => one(code::OUT_OF_RANGE, format!("must be greater than {limit}")),
        Fault::Maximum { limit } => one(code::OUT_OF_RANGE, format!("must be at most {limit}")),
        Fault::ExclusiveMaximum { limit } => one(code::OUT_OF_RANGE, format!("must be less than {limit}")),
        Fault::MaxLength { limit } | Fault::MaxItems { limit } => {
            one(code::LENGTH, format!("must have at most {limit}"))
        }
        Fault::MinLength { limit } | Fault::MinItems { limit } => {
            one(code::LENGTH, format!("must have at least {limit}"))
        }
        Fault::Format { format } => one(code::INVALID_FORMAT, format!("must be a valid {format}")),
        Fault::Enum { options } => one(code::NOT_ALLOWED, format!("must be one of {options}")),
        _ => one(code::INVALID, "breaks a rule of the table's schema".into()),
    }
}

fn shortened(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.shrink_to_fit();
    }
    text
}

/// Faults of a row that a validator refuses. A long list is not searched to its end: each of its values may be wrong.
pub(crate) fn explained(validator: &Validator, row: &Value) -> Vec<FieldError> {
    if values(row, MOST_SEARCHED) <= MOST_SEARCHED {
        let errors = validator.iter_errors(row).flat_map(|error| errors_of(&error)).collect();
        return first_errors(errors, MOST_ERRORS);
    }
    let first = validator.validate(row).err().map_or_else(Vec::new, |error| errors_of(&error));
    first_errors(first, MOST_ERRORS)
}

/// The most values of a row among which all errors are looked for.
const MOST_SEARCHED: usize = 2000;

/// Count of the values in this one, which ends just beyond `most`.
fn values(value: &Value, most: usize) -> usize {
    let of = |values: &mut dyn Iterator<Item = &Value>| {
        let mut count = 1;
        for value in values {
            if count > most {
                break;
            }
            count += self::values(value, most - count);
        }
        count
    };
    match value {
        Value::Array(list) => of(&mut list.iter()),
        Value::Object(map) => of(&mut map.values()),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_came_from_outside_is_cut() {
        let error = FieldError::new("é".repeat(1000), code::INVALID, "x".repeat(1000));
        assert_eq!((error.field.chars().count(), error.message.len()), (LONGEST_FIELD, LONGEST_MESSAGE));
    }

    #[test]
    fn of_many_errors_few_are_told() {
        let errors = |count: usize| vec![FieldError::new("a", code::REQUIRED, "must be given"); count];
        assert_eq!(first_errors(errors(4), 3), errors(4));
        let told = first_errors(errors(10), 3);
        assert_eq!((told.len(), told[3].message.as_str()), (4, "more is wrong than these"));
        assert_eq!(first_errors(told.clone(), 3), told, "cut once is cut");
        assert_eq!(first_errors(told.clone(), 1), [told[0].clone(), told[3].clone()]);
    }

    #[test]
    fn values_are_counted_as_far_as_needed() {
        assert_eq!(values(&json!({"a": [1, [2, 3]], "b": {}}), 100), 7);
        let many = json!({"a": vec![0; 10_000], "b": vec![0; 10_000]});
        assert!((10..100).contains(&values(&many, 10)));
    }
}
