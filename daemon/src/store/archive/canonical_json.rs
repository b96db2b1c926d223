//! The one form of a record, whichever database wrote it: keys in order, no blanks, former values as they travel.

use std::collections::BTreeMap;

use ryzed_adapters::Registry;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::store::StoreError;
use crate::sync::Operation;

/// The same JSON with the keys of its objects in order and without blanks. Numbers keep every digit.
pub(in crate::store) fn ordered(json: &str) -> Result<String, StoreError> {
    let mut text = String::with_capacity(json.len());
    write_ordered(json.trim(), &mut text).map_err(no_json)?;
    Ok(text)
}

fn write_ordered(json: &str, to: &mut String) -> serde_json::Result<()> {
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
            for (index, (name, value)) in members.iter().enumerate() {
                to.push(if index == 0 { '{' } else { ',' });
                to.push_str(&serde_json::to_string(name)?);
                to.push(':');
                write_ordered(value.get(), to)?;
            }
            to.push_str(if members.is_empty() { "{}" } else { "}" });
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            for (index, value) in items.iter().enumerate() {
                to.push(if index == 0 { '[' } else { ',' });
                write_ordered(value.get(), to)?;
            }
            to.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Some(b'"') => to.push_str(&serde_json::to_string(&serde_json::from_str::<String>(json)?)?),
        _ => to.push_str(json),
    }
    Ok(())
}

/// An entry of the index with its former values as they travel: a database may keep them in forms of its own.
pub(in crate::store) fn entry(registry: &Registry, json: &str) -> Result<String, StoreError> {
    let mut entry: Map<String, Value> = serde_json::from_str(json).map_err(no_json)?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_gone = Operation::of(text("operation")) == Some(Operation::Delete);
    let table = registry.get(text("table_name"));
    if let (Some(table), Some(Value::Object(previous))) = (table, entry.get_mut("previous")) {
        for (name, value) in previous {
            let Some(column) = table.every_column().find(|column| column.name == *name) else { continue };
            let form = |value: &mut Value| {
                if let Some(canonical) = column.kind.canonical(value.clone()) {
                    *value = canonical;
                }
            };
            match value {
                Value::Array(history) if !is_gone => {
                    history.iter_mut().filter_map(|pair| pair.get_mut(1)).for_each(form);
                }
                value => form(value),
            }
        }
    }
    ordered(&Value::Object(entry).to_string())
}

fn no_json(error: serde_json::Error) -> StoreError {
    StoreError::Failed(format!("the database holds what is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_has_one_text_and_keeps_its_digits() {
        let digits = "0.12345678901234567890";
        let text = format!(r#" {{"b": [1, {{"z":null ,"a":"\u00e9"}}], "a": {digits}, "c": {{}}, "d": [] }} "#);
        let wanted = format!(r#"{{"a":{digits},"b":[1,{{"a":"é","z":null}}],"c":{{}},"d":[]}}"#);
        assert_eq!(ordered(&text).unwrap(), wanted);
        assert!(ordered("{\"a\":").is_err());
    }

    #[test]
    fn former_values_are_in_the_form_of_the_wire() {
        let registry = Registry::standard();
        let entry_of = |operation: &str, previous: Value| {
            let entry = json!({"table_name": "food_entries", "operation": operation, "previous": previous});
            super::entry(&registry, &entry.to_string()).unwrap()
        };
        let own = json!({"consumed_at": [[3, "2026-01-05T12:00:00+00:00"]], "quantity": [[3, 150.0], [4, null]]});
        let wire = json!({"consumed_at": [[3, "2026-01-05T12:00:00.000000Z"]], "quantity": [[3, 150], [4, null]]});
        assert_eq!(entry_of("UPDATE", own), entry_of("UPDATE", wire.clone()));
        assert!(entry_of("UPDATE", wire).contains("[[3,150],[4,null]]"));
        let gone = entry_of("DELETE", json!({"quantity": 1.0, "consumed_at": "2026-01-05T13:00:00+01:00"}));
        assert!(gone.contains(r#""consumed_at":"2026-01-05T12:00:00.000000Z","quantity":1}"#), "{gone}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6).prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_put_in_order_is_the_same_value_on_one_line(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let line = ordered(&pretty).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(&ordered(&line).unwrap(), &line);
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
    }
}
