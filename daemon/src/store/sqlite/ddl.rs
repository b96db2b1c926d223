//! The DDL of a table, generated: a table is STRICT, its references have indexes, and what holds JSON says so.

use ryzed_adapters::{Column, Kind, Table};
use serde_json::Value;

use crate::store::generated::on_delete;

/// The time at which a row is written, as a default.
const NOW: &str = "(strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))";

/// The statements that make a table.
#[must_use]
pub fn create(table: &Table) -> Vec<String> {
    let columns: Vec<String> =
        sorted(table).into_iter().map(|column| format!("    {}", definition(table, column))).collect();
    let create = format!("CREATE TABLE {} (\n{}\n) STRICT", table.name, columns.join(",\n"));
    let indexes =
        sorted(table).into_iter().filter(|column| column.references.is_some()).map(|column| index(table, column));
    [create].into_iter().chain(indexes).collect()
}

/// The statement that adds a column.
pub(super) fn add(table: &Table, column: &Column) -> String {
    format!("ALTER TABLE {} ADD COLUMN {}", table.name, definition(table, column))
}

/// The statement that makes the index of a reference. No table has a name with a dot.
pub(super) fn index(table: &Table, column: &Column) -> String {
    format!("CREATE INDEX \"{0}.{1}\" ON {0} ({1})", table.name, column.name)
}

/// Every column, the base columns around the others.
fn sorted(table: &Table) -> Vec<&Column> {
    let (stamps, others): (Vec<_>, Vec<_>) =
        table.every_column().partition(|column| matches!(column.name.as_str(), "created_at" | "updated_at"));
    others.into_iter().chain(stamps).collect()
}

fn definition(table: &Table, column: &Column) -> String {
    let name = &column.name;
    let mut definition = format!("{name} {}", type_of(column.kind));
    if name == "id" {
        definition += " PRIMARY KEY";
    }
    if !column.nullable {
        definition += " NOT NULL";
    }
    match name.as_str() {
        "created_at" | "updated_at" => definition += &format!(" DEFAULT {NOW}"),
        _ => {
            definition +=
                &column.default.as_ref().map_or(String::new(), |value| format!(" DEFAULT {}", literal(column, value)))
        }
    }
    // Some versions of SQLite take NULL for no JSON.
    let or_null = if column.nullable { format!("{name} IS NULL OR ") } else { String::new() };
    match column.kind {
        Kind::Bool => definition += &format!(" CHECK ({name} IN (0, 1))"),
        Kind::TextList => {
            definition += &format!(" CHECK ({or_null}json_valid({name}) AND json_type({name}) = 'array')");
        }
        Kind::Json => definition += &format!(" CHECK ({or_null}json_valid({name}))"),
        _ => {}
    }
    if let Some(parent) = &column.references {
        definition += &format!(" REFERENCES {parent} (id) ON DELETE {}", on_delete(table, column));
    }
    definition
}

/// The type of a column.
pub(super) fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "REAL",
        Kind::Integer | Kind::Bool => "INTEGER",
        Kind::Uuid | Kind::Time | Kind::Text | Kind::TextList | Kind::Json => "TEXT",
    }
}

fn literal(column: &Column, value: &Value) -> String {
    let value = &column.kind.canonical(value.clone()).unwrap_or_default();
    match (column.kind, value) {
        (Kind::Bool, value) => if value == &Value::Bool(true) { "TRUE" } else { "FALSE" }.into(),
        (Kind::Number | Kind::Integer, value) => value.to_string(),
        (Kind::Uuid | Kind::Time | Kind::Text, Value::String(text)) => quoted(text),
        (_, value) => quoted(&value.to_string()),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
