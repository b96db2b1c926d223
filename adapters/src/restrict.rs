//! A table with other columns than the adapter's: as a database has it that was there before, with fewer and with others beside
//! them; or as the configuration wants it, with columns that are hidden or that devices may not write.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::PEOPLE;
use crate::schema::MARKS;

/// One column of such a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFacts {
    /// Its name on the wire.
    pub name: String,
    /// The JSON Schema of a column that the adapter does not know; none for the adapter's own.
    pub property: Option<Value>,
    /// The most characters that the database takes, where it says so.
    pub longest: Option<u32>,
    /// True if the database takes NULL.
    pub nullable: bool,
    /// True if the database has a default for a row that does not bring a value.
    pub fills_itself: bool,
    /// True if the database alone computes the value.
    pub is_computed: bool,
    /// True if it is hidden: rows travel without it.
    pub is_hidden: bool,
    /// True if devices may not write it.
    pub read_only: bool,
    /// The table whose rows alone it may name, where the database says so and the adapter does not.
    pub references: Option<String>,
}

/// The schema of a row that has these columns and no others, hidden ones included.
pub(crate) fn schema(adapter: &Value, columns: &[ColumnFacts], has_table: impl Fn(&str) -> bool) -> Value {
    let mut properties = Map::new();
    let mut required: BTreeSet<&str> =
        adapter["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    required.retain(|name| columns.iter().any(|column| column.name == *name && (!column.read_only || *name == "id")));
    for column in columns {
        let known = adapter["properties"].get(&column.name);
        let Some(mut property) = column.property.clone().or_else(|| known.cloned()) else { continue };
        fit(&mut property, column, &has_table);
        let fills = column.nullable || column.fills_itself || column.read_only || property.get("default").is_some();
        if !fills && !is_filled_in(&column.name) {
            required.insert(&column.name);
        }
        properties.insert(column.name.clone(), property);
    }
    for mark in MARKS {
        properties.insert(mark.into(), adapter["properties"][mark].clone());
    }
    let mut schema = adapter.clone();
    schema["properties"] = Value::Object(properties);
    schema["required"] = json!(required);
    schema
}

/// The same schema without hidden columns, and with those that devices may not write marked as such.
pub(crate) fn shown(row: &Value, hidden: &BTreeSet<&str>, read_only: &BTreeSet<&str>) -> Value {
    let mut shown = row.clone();
    if let Some(properties) = shown["properties"].as_object_mut() {
        properties.retain(|name, _| !hidden.contains(name.as_str()));
        for (name, property) in properties {
            if let Some(property) = property.as_object_mut().filter(|_| read_only.contains(name.as_str())) {
                property.insert("readOnly".into(), true.into());
            }
        }
    }
    if let Some(required) = shown["required"].as_array_mut() {
        required.retain(|name| name.as_str().is_none_or(|name| !hidden.contains(name)));
    }
    shown
}

fn fit(property: &mut Value, column: &ColumnFacts, has_table: impl Fn(&str) -> bool) {
    let Some(property) = property.as_object_mut() else { return };
    if let Some(table) = &column.references {
        property.insert("x-references".into(), table.as_str().into());
    }
    // Who somebody is, is known also where people have no table.
    let is_known = |table: &str| has_table(table) || (table == PEOPLE && column.references.is_some());
    if property.get("x-references").and_then(Value::as_str).is_some_and(|table| !is_known(table)) {
        property.remove("x-references");
    }
    if let Some(longest) = column.longest {
        let known = property.get("maxLength").and_then(Value::as_u64);
        property.insert("maxLength".into(), known.map_or(longest.into(), |known| known.min(longest.into())).into());
    }
    // Whose a row is follows the adapter's rule, whatever the database would take.
    if column.name != "user_id" || !column.nullable {
        set_nullable(property, column.nullable);
    }
}

/// Rows that are there may hold NULL where the adapter expects none, and the other way round.
fn set_nullable(property: &mut Map<String, Value>, nullable: bool) {
    let mut types: Vec<Value> = match property.get("type") {
        Some(Value::Array(types)) => types.clone(),
        Some(one @ Value::String(_)) => vec![one.clone()],
        _ => return,
    };
    types.retain(|name| name != "null");
    if let Some(Value::Array(options)) = property.get_mut("enum") {
        options.retain(|option| !option.is_null());
        if nullable {
            options.push(Value::Null);
        }
    }
    if nullable {
        types.push("null".into());
    }
    let types = if types.len() == 1 { types.swap_remove(0) } else { Value::Array(types) };
    property.insert("type".into(), types);
}

/// True for a column that the daemon fills in when a client leaves it out.
fn is_filled_in(name: &str) -> bool {
    matches!(name, "user_id" | "created_at" | "updated_at")
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::json;

    use super::*;
    use crate::{Column, Purpose, Registry, Row, Table, TableRules, code};

    fn column(name: &str) -> ColumnFacts {
        ColumnFacts {
            name: name.into(),
            property: None,
            longest: None,
            nullable: false,
            fills_itself: false,
            is_computed: false,
            is_hidden: false,
            read_only: false,
            references: None,
        }
    }

    fn foods() -> Table {
        let columns = [
            column("id"),
            column("user_id"),
            ColumnFacts { longest: Some(5), ..column("name_en") },
            ColumnFacts { nullable: true, ..column("calories") },
            ColumnFacts { fills_itself: true, ..column("category") },
            ColumnFacts { property: Some(json!({"type": "string"})), nullable: true, ..column("barcode") },
            ColumnFacts { property: Some(json!({"type": "integer"})), ..column("shelf") },
            ColumnFacts {
                property: Some(json!({"type": "string"})),
                is_computed: true,
                read_only: true,
                ..column("slug")
            },
            ColumnFacts { property: Some(json!({"type": "boolean"})), read_only: true, ..column("verified") },
            ColumnFacts { property: Some(json!({"type": "string"})), is_hidden: true, ..column("token") },
            ColumnFacts {
                references: Some("foods".into()),
                property: Some(json!({"type": "string"})),
                nullable: true,
                ..column("of")
            },
        ];
        Registry::standard().get("foods").unwrap().restricted_to(&columns, |table| table == "foods")
    }

    fn codes(row: Value, purpose: Purpose) -> Vec<(String, String)> {
        let Value::Object(row) = row else { panic!("a row is an object") };
        let refused = foods().accept(row, purpose, DateTime::<Utc>::UNIX_EPOCH).err().unwrap_or_default();
        refused.into_iter().map(|error| (error.field, error.code)).collect()
    }

    const ID: &str = "e076c2a5-1478-58a5-b583-298d951b62f5";

    #[test]
    fn a_row_has_the_columns_of_the_database() {
        let foods = foods();
        let names: Vec<&str> = foods.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            names,
            ["id", "user_id", "barcode", "calories", "category", "name_en", "of", "shelf", "slug", "verified"]
        );
        assert_eq!(foods.references().collect::<Vec<_>>(), [("of", "foods")], "what else is referred to is not there");
        assert!(foods.column("calories").unwrap().nullable && !foods.column("category").unwrap().nullable);
        assert!(foods.column("slug").unwrap().read_only && foods.column("verified").unwrap().read_only);
        assert!(foods.column("token").is_none() && foods.hidden[0].name == "token");
        let schema = foods.schema.to_string();
        assert!(!schema.contains("token") && schema.contains(r#""readOnly":true"#), "{schema}");
        assert_eq!(
            codes(json!({"id": ID, "name_en": "Fig", "calories": 1, "shelf": 3, "barcode": null}), Purpose::Whole),
            []
        );
    }

    #[test]
    fn what_the_database_does_not_take_is_refused() {
        let refused = |field: &str, code: &str| vec![(field.to_owned(), code.to_owned())];
        assert_eq!(
            codes(json!({"id": ID, "name_fr": "Figue"}), Purpose::Patch),
            refused("name_fr", code::UNKNOWN_FIELD)
        );
        assert_eq!(codes(json!({"id": ID, "token": "t"}), Purpose::Patch), refused("token", code::UNKNOWN_FIELD));
        assert_eq!(codes(json!({"id": ID, "name_en": "Quince"}), Purpose::Patch), refused("name_en", code::LENGTH));
        // What the default is, only the database knows: it can be left to it, but not asked for.
        assert_eq!(codes(json!({"id": ID, "category": null}), Purpose::Patch), refused("category", code::WRONG_TYPE));
        let whole = json!({"id": ID, "name_en": "Fig", "calories": 1, "category": null});
        assert_eq!(codes(whole, Purpose::Whole), refused("shelf", code::REQUIRED));
    }

    #[test]
    fn what_devices_may_not_write_they_may_send_back() {
        let row = |value: Value| serde_json::from_value::<Row>(value).unwrap();
        let left = |brought: Value, is_operators: bool| {
            let was = |column: &Column, value: &Value| column.name == "slug" && value == "fig";
            foods().without_read_only(row(brought), is_operators, was)
        };
        assert_eq!(left(json!({"slug": "fig", "shelf": 1}), false).unwrap(), row(json!({"shelf": 1})));
        let refused = left(json!({"slug": "date", "verified": true, "shelf": 1}), false).unwrap_err();
        let fields: Vec<(&str, &str)> = refused.iter().map(|e| (e.field.as_str(), e.code.as_str())).collect();
        assert_eq!(fields, [("slug", code::READ_ONLY), ("verified", code::READ_ONLY)]);
        assert!(left(json!({"verified": true}), true).unwrap().contains_key("verified"), "the operator may");
        assert!(left(json!({"slug": "date"}), true).is_err(), "but not what the database computes");
    }

    #[test]
    fn rules_for_our_own_tables_are_checked() {
        let foods = |rules: TableRules| Registry::standard().get("foods").unwrap().ruled(&rules);
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let table =
            foods(TableRules { hidden: list(&["fats"]), read_only: list(&["is_custom"]), ..TableRules::default() });
        let table = table.unwrap();
        assert!(table.column("fats").is_none() && table.column("is_custom").unwrap().read_only && !table.is_external);
        let mut row = serde_json::from_value(json!({"id": ID})).unwrap();
        table.complete(&mut row, DateTime::<Utc>::UNIX_EPOCH);
        assert!(row.contains_key("is_custom") && !row.contains_key("fats"), "{row:?}");
        for (rules, key) in [
            (TableRules { hidden: list(&["calories"]), ..TableRules::default() }, "hidden"),
            (TableRules { read_only: list(&["calories"]), ..TableRules::default() }, "read_only"),
            (TableRules { hidden: list(&["updated_at"]), ..TableRules::default() }, "hidden"),
            (TableRules { hidden: list(&["nope"]), ..TableRules::default() }, "hidden"),
            (TableRules { send: list(&["fats"]), ..TableRules::default() }, "send"),
        ] {
            assert_eq!(foods(rules.clone()).unwrap_err().0, key, "{rules:?}");
        }
    }

    #[test]
    fn what_the_database_fills_stays_out_of_an_insert() {
        let mut row = serde_json::from_value(json!({"id": ID})).unwrap();
        foods().complete(&mut row, DateTime::<Utc>::UNIX_EPOCH);
        assert!(!row.contains_key("category") && !row.contains_key("slug"), "{row:?}");
        assert_eq!(row["barcode"], Value::Null);
    }
}
