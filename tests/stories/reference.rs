//! The daemon's description of itself: topics, tables, schemas.

use ryzed_tests::rows::TABLES;
use serde_json::Value;

use crate::somebody;

#[tokio::test]
async fn topics_are_ones_own_and_the_catalogues() {
    let me = somebody();
    let topics = me.api.get("/topics").await.ok();
    let topics: Vec<&str> = topics["topics"].as_array().expect("topics").iter().filter_map(Value::as_str).collect();
    for table in TABLES {
        assert!(topics.contains(&format!("user:{}:{table}", me.person.id).as_str()), "{table}: {topics:?}");
    }
    assert!(topics.contains(&"global:foods") && topics.contains(&"global:workout_template_exercises"));
    assert!(!topics.contains(&"global:food_entries"), "no catalogue has a diary");
    let mine = format!("user:{}:", me.person.id);
    assert!(topics.iter().all(|topic| topic.starts_with(&mine) || topic.starts_with("global:")));
}

#[tokio::test]
async fn all_fifteen_tables_are_described() {
    let tables = somebody().api.get("/tables").await.ok();
    let tables = tables["tables"].as_array().expect("tables");
    let names: Vec<&str> = tables.iter().filter_map(|table| table["name"].as_str()).collect();
    assert_eq!(names.len(), TABLES.len());
    for name in TABLES {
        let table = tables.iter().find(|table| table["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(table["domain"].is_string() && table["scope"].is_string(), "{table}");
        let columns = table["columns"].as_array().expect("columns");
        for base in ["id", "created_at", "updated_at"] {
            assert!(columns.iter().any(|column| column["name"] == base), "{name}.{base}");
        }
    }
}

#[tokio::test]
async fn a_tables_schema_says_what_a_row_is() {
    let schema = somebody().api.get("/tables/food_entries/schema").await.ok();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["quantity"]["exclusiveMinimum"], 0);
    assert_eq!(schema["properties"]["unit"]["default"], "g");
    for required in ["id", "quantity", "consumed_at"] {
        assert!(schema["required"].as_array().expect("required").iter().any(|name| name == required), "{required}");
    }
}

#[tokio::test]
async fn an_unknown_table_has_no_schema() {
    for name in ["passwords", "sync_changes", "foods%27--", "..%2F..%2Fetc"] {
        somebody().api.get(&format!("/tables/{name}/schema")).await.problem(&[404]);
    }
}
