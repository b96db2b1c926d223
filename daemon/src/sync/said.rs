//! Values that a database holds and that can't be said: not in JSON, or not as the table's schema wants it. On the wire they are
//! null, and the row's mark `_unsaid` names their fields; whoever edits other fields leaves them as they are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ryzed_adapters::{Row, Table, UNSAID};
use serde_json::Value;
use serde_json::value::RawValue;

/// A row as the database says it. What JSON allows and no number or text of ours can hold, such as `1e400` within a list,
/// is null and marked.
#[must_use]
pub fn object(json: &str) -> Row {
    serde_json::from_str(json).unwrap_or_else(|_| field_by_field(json))
}

/// JSON as a database has it, in which a text may be no UTF-8: such a field is null and marked.
#[must_use]
pub fn text(json: &[u8]) -> String {
    std::str::from_utf8(json).map_or_else(|_| without_holes(json), str::to_owned)
}

fn without_holes(json: &[u8]) -> String {
    // Characters that are in no text which means something.
    let is_free = |hole: &char| !json.utf8_chunks().any(|chunk| chunk.valid().contains(*hole));
    let hole = ('\u{FDD0}'..='\u{FDEF}').find(is_free).unwrap_or(char::REPLACEMENT_CHARACTER);
    let mut text = String::with_capacity(json.len());
    for chunk in json.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend((!chunk.invalid().is_empty()).then_some(hole));
    }
    let mut row = object(&text);
    if row.is_empty() {
        return text;
    }
    let mut unsaid = match row.remove(UNSAID) {
        Some(Value::Array(names)) => names,
        _ => Vec::new(),
    };
    for (name, value) in row.iter_mut().filter(|(_, value)| has_hole(value, hole)) {
        *value = Value::Null;
        unsaid.push(name.as_str().into());
    }
    if !unsaid.is_empty() {
        row.insert(UNSAID.into(), unsaid.into());
    }
    Value::Object(row).to_string()
}

fn has_hole(value: &Value, hole: char) -> bool {
    match value {
        Value::String(text) => text.contains(hole),
        Value::Array(values) => values.iter().any(|value| has_hole(value, hole)),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains(hole) || has_hole(value, hole)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn field_by_field(json: &str) -> Row {
    let (mut row, mut unsaid) = (Row::new(), Vec::new());
    let Ok(raw) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) else { return row };
    for (name, value) in raw {
        let text = value.get();
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            // Its digits are a text that the database takes back.
            Err(_) if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => text.into(),
            Err(_) => {
                unsaid.push(Value::from(name.as_str()));
                Value::Null
            }
        };
        row.insert(name, value);
    }
    if let Some(Value::Array(marked)) = row.remove(UNSAID) {
        unsaid.extend(marked);
    }
    if !unsaid.is_empty() {
        row.insert(UNSAID.into(), unsaid.into());
    }
    row
}

/// The row as it travels: what can't be said is null and marked, what has a value by now is not.
pub fn mark(table: &Table, row: &mut Row) {
    let mut names = match row.remove(UNSAID) {
        Some(Value::Array(names)) => names,
        _ => Vec::new(),
    };
    names.retain(|name| name.as_str().and_then(|name| row.get(name)).is_some_and(Value::is_null));
    for name in unsaid(table, row) {
        row.insert(name.clone(), Value::Null);
        names.push(name.into());
    }
    if !names.is_empty() {
        row.insert(UNSAID.into(), names.into());
    }
}

/// The fields whose values are kept in a form of the database's own, as a tombstone has them.
#[must_use]
pub fn unsaid(table: &Table, row: &Row) -> Vec<String> {
    let is_unsaid = |(name, value): &(&String, &Value)| table.column(name).is_some_and(|c| !c.kind.says(value));
    row.iter().filter(is_unsaid).map(|(name, _)| name.clone()).collect()
}

/// The row for rules that span fields: without what is marked, since nothing can be told of that.
#[must_use]
pub fn without_unsaid(row: &Row) -> Cow<'_, Row> {
    let Some(Value::Array(names)) = row.get(UNSAID) else { return Cow::Borrowed(row) };
    let mut rest = row.clone();
    for name in names.iter().filter_map(Value::as_str) {
        // By now it may have a value.
        if rest.get(name).is_some_and(|value| value.is_null() || value.is_string()) {
            rest.remove(name);
        }
    }
    Cow::Owned(rest)
}

/// True if two values are equal to a reader of numbers like JavaScript: in 64 bits of floating point. A client that
/// sends back what it got has lost the digits beyond.
#[must_use]
pub fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use ryzed_adapters::Registry;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_that_is_no_utf_8_is_null_and_marked() {
        let said = |json: &[u8]| -> Value { serde_json::from_str(&text(json)).unwrap() };
        let plain = br#"{"a":"x","_unsaid":["b"],"b":null}"#;
        assert_eq!(text(plain).as_bytes(), plain);
        assert_eq!(said(b"{\"a\":\"A\xffB\",\"b\":1}"), json!({"a": null, "b": 1, "_unsaid": ["a"]}));
        let both = said(b"{\"a\":\"\xc3\",\"b\":null,\"c\":\"\xc3\xa9 \xef\xbf\xbd\",\"_unsaid\":[\"b\"]}");
        assert_eq!(both, json!({"a": null, "b": null, "c": "é \u{fffd}", "_unsaid": ["b", "a"]}));
        let former = said(b"{\"name\":[[1,\"\xed\xa0\x80\"]],\"other\":[[1,\"x\"]]}");
        assert_eq!(former, json!({"name": null, "other": [[1, "x"]], "_unsaid": ["name"]}));
    }

    #[test]
    fn what_cannot_be_held_is_null_and_marked_and_the_rest_stays() {
        let row = object(r#"{"id":"r","list":[1e400],"a":1,"text":"\ud800"}"#);
        assert_eq!(
            Value::Object(row),
            json!({"id": "r", "list": null, "a": 1, "text": null, "_unsaid": ["list", "text"]})
        );
        assert_eq!(Value::Object(object(r#"{"a":1}"#)), json!({"a": 1}));
        assert_eq!(Value::Object(object(r#"{"a":1e400}"#)), json!({"a": "1e400"}), "as the database takes it");
    }

    #[test]
    fn a_field_that_has_a_value_by_now_is_no_longer_marked() {
        let registry = Registry::standard();
        let foods = registry.get("foods").unwrap();
        let mut row = object(r#"{"calories":1,"carbs":null,"fats":"NaN","_unsaid":["calories","carbs"]}"#);
        mark(foods, &mut row);
        assert_eq!((&row[UNSAID], &row["fats"]), (&json!(["carbs", "fats"]), &Value::Null));
        row.insert("carbs".into(), json!(2));
        row.insert("fats".into(), json!(2));
        mark(foods, &mut row);
        assert!(!row.contains_key(UNSAID));
    }

    #[test]
    fn digits_that_javascript_drops_make_no_difference() {
        let big = json!({"a": [9_007_199_254_740_993_i64]});
        assert!(is_same(&big, &json!({"a": [9_007_199_254_740_992_i64]})));
        assert!(!is_same(&big, &json!({"a": [9_007_199_254_740_994_i64]})));
        assert!(is_same(&json!(1), &json!(1.0)) && !is_same(&json!(1), &json!("1")));
    }
}
