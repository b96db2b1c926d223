//! From an adapter's struct to its JSON Schemas: the public one and the two that check writes.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::ScopeRule;

/// The member of a row that names its fields whose value can't be said.
pub const UNSAID: &str = "_unsaid";

/// Marks of the server in the rows that it sends, beside their columns.
pub(crate) const MARKS: [&str; 2] = ["_version", UNSAID];

/// The struct's own schema, every sub-schema inlined.
pub(crate) fn of_struct<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    match settings.into_generator().into_root_schema_for::<T>().to_value() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// The struct's schema with the base columns, as `/tables/{table}/schema` shows it.
pub(crate) fn of_row(name: &str, scope: ScopeRule, own: &Map<String, Value>) -> Value {
    let mut schema = own.clone();
    let mut properties = base_columns(scope);
    if let Some(Value::Object(own)) = schema.remove("properties") {
        properties.extend(own);
    }
    properties.insert(
        "_version".into(),
        json!({"type": "integer", "readOnly": true, "description": "The row's version in its scope; sent, never stored in the table."}),
    );
    let mut required = vec![json!("id")];
    if let Some(Value::Array(own)) = schema.remove("required") {
        required.extend(own);
    }
    properties.insert(
        UNSAID.into(),
        json!({"type": "array", "items": {"type": "string"}, "readOnly": true, "description": "The fields whose value the database holds and JSON, or this schema, can't say. They are null here, whatever they may be otherwise, and stay as they are until a value is given. Absent when there are none."}),
    );
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!(name));
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("required".into(), Value::Array(required));
    schema.insert("additionalProperties".into(), json!(false));
    Value::Object(schema)
}

/// The same without `required` but for the id: what an update must look like.
pub(crate) fn of_patch(row: &Value) -> Value {
    let mut schema = row.clone();
    schema["required"] = json!(["id"]);
    schema
}

fn base_columns(scope: ScopeRule) -> Map<String, Value> {
    let mut columns = Map::new();
    columns.insert(
        "id".into(),
        json!({"type": "string", "format": "uuid", "description": "The row, made by the client."}),
    );
    match scope {
        ScopeRule::Owner => {
            columns.insert(
                "user_id".into(),
                json!({"type": "string", "format": "uuid", "description": "The owner; filled in when absent.", "x-references": "users"}),
            );
        }
        ScopeRule::OwnerOrGlobal => {
            columns.insert(
                "user_id".into(),
                json!({"type": ["string", "null"], "format": "uuid", "description": "The owner; null in the catalogue.", "x-references": "users"}),
            );
        }
        ScopeRule::Person | ScopeRule::Via { .. } => {}
    }
    for (name, description) in [
        ("created_at", "When the row was made; may come from the client."),
        ("updated_at", "When the server last wrote the row; what a client sends here is ignored."),
    ] {
        columns.insert(name.into(), json!({"type": "string", "format": "date-time", "description": description}));
    }
    columns
}
