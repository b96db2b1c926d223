//! Blocks become tables, and what is wrong with one names its key.

use chrono::{DateTime, Utc};
use proptest::prelude::{Just, Strategy as Generator, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};

use super::words::kept;
use super::{Complaint, MOST_COLUMNS, MOST_TABLES, TableBlock};
use crate::{Column, Purpose, Registry, Row, ScopeRule, Table};

fn block(value: Value) -> TableBlock {
    let mut fields = value.as_object().cloned().unwrap_or_default();
    let columns = fields.remove("columns").and_then(|columns| columns.as_object().cloned()).unwrap_or_default();
    let mut take = |name| fields.remove(name);
    TableBlock {
        owner: take("owner"),
        strategy: take("strategy"),
        ordered: take("ordered"),
        domain: take("domain"),
        columns: columns.into_iter().collect(),
    }
}

fn declared(blocks: Value) -> Result<Registry, Vec<Complaint>> {
    let blocks = blocks.as_object().cloned().unwrap_or_default();
    let blocks = blocks.into_iter().map(|(name, said)| (name, block(said))).collect();
    Registry::standard().declaring(&blocks)
}

fn sleep_logs() -> Value {
    json!({
        "owner": "user_id", "strategy": "merge", "ordered": [["began_at", "ended_at"]],
        "columns": {
            "began_at": {"type": "time", "required": true},
            "ended_at": {"type": "time"},
            "quality": {"type": "integer", "min": 1, "max": 5},
            "place": {"type": "enum", "values": ["bed", "sofa"], "default": "bed"},
            "note": {"type": "text", "length": 5},
            "labels": {"type": "text_list", "default": [], "merge": "union"},
            "facts": {"type": "json", "required": true},
            "session": {"type": "uuid", "references": "cardio_sessions"},
        }
    })
}

/// The faults of one table `t` with these fields over a good one.
fn faults(fields: Value) -> Vec<Complaint> {
    let mut table = json!({"owner": "user_id", "columns": {"a": {"type": "text"}}});
    fields.as_object().into_iter().flatten().for_each(|(name, value)| table[name] = value.clone());
    declared(json!({"t": table})).err().unwrap_or_default()
}

#[test]
fn a_block_is_a_table_like_any_other() {
    let registry = declared(json!({"sleep_logs": sleep_logs()})).unwrap();
    let table = registry.get("sleep_logs").unwrap();
    assert_eq!((table.scope, table.strategy, table.domain), (ScopeRule::Owner, crate::Strategy::Merge, "own"));
    let of = |name: &str| table.column(name).unwrap();
    let facts = |column: &Column| (column.required, column.nullable, column.default.clone());
    assert_eq!(facts(of("began_at")), (true, false, None));
    assert_eq!(facts(of("ended_at")), (false, true, None));
    assert_eq!(facts(of("labels")), (false, false, Some(json!([]))));
    assert_eq!(facts(of("facts")), (true, false, None));
    assert_eq!(table.references().collect::<Vec<_>>(), [("user_id", "users"), ("session", "cardio_sessions")]);
    let codes = |row: Value| {
        let row: Row = serde_json::from_value(row).unwrap();
        let accepted = table.accept(row, Purpose::Whole, DateTime::<Utc>::UNIX_EPOCH);
        let refused = accepted.and_then(|row| table.check(&row)).err().unwrap_or_default();
        refused.into_iter().map(|error| format!("{} {}", error.field, error.code)).collect::<Vec<_>>().join(", ")
    };
    let id = "e076c2a5-1478-58a5-b583-298d951b62f5";
    let at = |hour: u32| format!("1969-12-31T{hour:02}:00:00Z");
    assert_eq!(codes(json!({"id": id, "began_at": at(1), "facts": {"a": 1}, "labels": null})), "");
    assert_eq!(
        codes(json!({"id": id, "began_at": at(1), "facts": 1, "quality": 6, "place": "car", "note": "longer"})),
        "note length, place not_allowed, quality out_of_range"
    );
    assert_eq!(codes(json!({"id": id, "began_at": at(2), "ended_at": at(1), "facts": []})), "ended_at inconsistent");
    assert_eq!(codes(json!({"id": id, "facts": null})), "began_at required, facts wrong_type");
}

#[test]
fn parents_stand_before_their_children_whatever_their_names() {
    let part = |above: &str| {
        let column = json!({"type": "uuid", "required": true, "references": above});
        json!({"owner": {"via": "above"}, "columns": {"above": column}})
    };
    let registry = declared(json!({"a_parts": part("b_wholes"), "b_wholes": part("c_tops"), "c_tops": {
        "owner": "catalogue", "columns": {"other": {"type": "uuid", "references": "c_tops"}}
    }}))
    .unwrap();
    let names: Vec<&str> = registry.iter().map(|table| table.name).collect();
    assert_eq!(names[names.len() - 3..], ["c_tops", "b_wholes", "a_parts"]);
    assert_eq!(registry.get("a_parts").unwrap().scope, ScopeRule::Via { column: "above", parent: "b_wholes" });
    let circle = declared(json!({"a": part("b"), "b": part("a")})).unwrap_err();
    assert_eq!(circle[0].0, "tables.a");
    assert!(circle[0].1.contains("circle"), "{circle:?}");
}

#[test]
fn a_fault_names_its_key_and_what_to_do() {
    let column = |said: Value| json!({"columns": {"a": said}});
    for (fields, key, words) in [
        (json!({"owner": null}), "tables.t.owner", "\"catalogue\""),
        (json!({"owner": "me"}), "tables.t.owner", "\"user_id\""),
        (json!({"owner": {"via": "b"}}), "tables.t.owner.via", "required = true"),
        (json!({"owner": {"via": "a", "or": "b"}}), "tables.t.owner", "via"),
        (
            json!({"owner": {"via": "a"}, "columns": {"a": {"type": "uuid", "required": true, "references": "t"}}}),
            "tables.t.owner.via",
            "another table",
        ),
        (json!({"strategy": "mine"}), "tables.t.strategy", "\"merge\""),
        (json!({"domain": ""}), "tables.t.domain", "1 to 63"),
        (json!({"ordered": ["a", "b"]}), "tables.t.ordered", "pairs"),
        (json!({"ordered": [["a", "b"]]}), "tables.t.ordered", "two columns of times"),
        (json!({"columns": {}}), "tables.t", "has no columns"),
        (column(json!("a")), "tables.t.columns.a", "{ type = \"text\" }"),
        (column(json!({})), "tables.t.columns.a", "has no type; the types are uuid, text, integer"),
        (column(json!({"type": "int"})), "tables.t.columns.a.type", "there is no type \"int\"; the types are"),
        (column(json!({"type": "date"})), "tables.t.columns.a.type", "there is no type \"date\""),
        (column(json!({"type": "text", "lenght": 5})), "tables.t.columns.a", "no key lenght; a column has type"),
        (column(json!({"type": "text", "required": 1})), "tables.t.columns.a.required", "true or false"),
        (
            column(json!({"type": "text", "required": true, "default": "a"})),
            "tables.t.columns.a.required",
            "one of both",
        ),
        (column(json!({"type": "text", "min": 1})), "tables.t.columns.a.min", "`length`"),
        (column(json!({"type": "integer", "min": 1.5})), "tables.t.columns.a.min", "whole"),
        (column(json!({"type": "integer", "max": 3_000_000_000_i64})), "tables.t.columns.a.max", "32 bits"),
        (column(json!({"type": "number", "min": 2, "max": 1})), "tables.t.columns.a.min", "greater than max"),
        (column(json!({"type": "text", "length": 0})), "tables.t.columns.a.length", "1 to 1000000"),
        (column(json!({"type": "integer", "length": 1})), "tables.t.columns.a.length", "type text"),
        (column(json!({"type": "enum"})), "tables.t.columns.a", "values = ["),
        (column(json!({"type": "enum", "values": ["a", "a"]})), "tables.t.columns.a.values", "different"),
        (column(json!({"type": "text", "values": ["a"]})), "tables.t.columns.a.values", "type enum"),
        (column(json!({"type": "enum", "values": ["a"], "default": "b"})), "tables.t.columns.a.default", "takes"),
        (column(json!({"type": "integer", "max": 3, "default": 4})), "tables.t.columns.a.default", "takes"),
        (column(json!({"type": "bool", "default": "yes"})), "tables.t.columns.a.default", "takes"),
        (column(json!({"type": "text", "merge": "sum"})), "tables.t.columns.a.merge", "does not fit"),
        (column(json!({"type": "text", "merge": "mix"})), "tables.t.columns.a.merge", "\"union\""),
        (column(json!({"type": "text", "references": "foods"})), "tables.t.columns.a.references", "type uuid"),
        (column(json!({"type": "uuid", "references": "foodz"})), "tables.t.columns.a.references", "no table \"foodz\""),
        (column(json!({"type": "uuid", "references": "foods", "required": true})), "tables.t.columns.a", "null"),
        (column(json!({"type": "uuid", "references": "foods", "default": "a"})), "tables.t.columns.a.default", "null"),
    ] {
        let found = faults(fields.clone());
        assert!(found.len() == 1 && found[0].0 == key && found[0].1.contains(words), "{fields}: {found:?}");
    }
}

#[test]
fn names_are_plain_and_free() {
    let table = |name: &str| declared(json!({name: {"owner": "user_id", "columns": {"a": {"type": "text"}}}})).err();
    for name in
        ["foods", "order", "Sleep", "_sleep", "1st", "a-b", "", "ryzed_x", "sqlite_a", "pg_a", "sync_a", "devices"]
    {
        let found = table(name).unwrap_or_default();
        assert_eq!(found.len(), 1, "{name:?}: {found:?}");
        assert_eq!(found[0].0, format!("tables.{name}"));
    }
    assert!(table(&"a".repeat(63)).is_none() && table(&"a".repeat(64)).is_some());
    for name in ["id", "user_id", "created_at", "group", "Big", "_version", "a.b"] {
        let found = faults(json!({"columns": {name: {"type": "text"}}}));
        assert_eq!((found.len(), found[0].0.as_str()), (1, format!("tables.t.columns.{name}").as_str()));
    }
    let many: Map<String, Value> = (0..=MOST_COLUMNS).map(|n| (format!("c{n}"), json!({"type": "text"}))).collect();
    assert!(faults(json!({"columns": many}))[0].1.contains("200 are the most"));
    let many = (0..=MOST_TABLES).map(|n| (format!("t{n}"), block(sleep_logs()))).collect();
    assert!(Registry::standard().declaring(&many).unwrap_err()[0].1.contains("200 are the most"));
}

#[test]
fn a_name_is_kept_once() {
    assert!(std::ptr::eq(kept("a_name_of_a_table"), kept(&String::from("a_name_of_a_table"))));
}

fn any_value() -> impl Generator<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(&["text", "uuid", "integer", "foods", "merge", "via", "a", "union"][..])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let key = prop::sample::select(
            &[
                "type",
                "required",
                "default",
                "min",
                "max",
                "length",
                "values",
                "references",
                "merge",
                "via",
                "a",
                "b_c",
            ][..],
        );
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_stands_there_is_a_table_or_a_complaint(
        owner in any_value(), strategy in any_value(), ordered in any_value(), column in any_value()
    ) {
        let block = TableBlock {
            owner: Some(owner),
            strategy: Some(strategy),
            ordered: Some(ordered),
            domain: None,
            columns: [("a".to_owned(), column)].into(),
        };
        match Registry::standard().declaring(&[("t".to_owned(), block)].into()) {
            Ok(registry) => prop_assert!(registry.get("t").is_some()),
            Err(complaints) => prop_assert!(complaints.iter().all(|(key, text)| key.starts_with("tables.t") && !text.is_empty())),
        }
    }

    #[test]
    fn what_is_declared_is_what_the_table_has(
        kind in prop::sample::select(&["uuid", "text", "integer", "number", "bool", "time", "json", "text_list"][..]),
        required in any::<bool>(), name in "[a-z][a-z0-9_]{0,20}x"
    ) {
        let blocks = json!({"own_things": {"owner": "catalogue", "columns": {&name: {"type": kind, "required": required}}}});
        let registry = declared(blocks).unwrap();
        let column: &Column = registry.get("own_things").and_then(|table: &Table| table.column(&name)).unwrap();
        prop_assert_eq!(serde_json::to_value(column.kind).unwrap(), json!(kind));
        prop_assert_eq!((column.required, column.nullable), (required, !required));
    }
}
