//! The DDL of a table, generated, with native types. Triggers, policies and grants are put round it by themselves.

use ryzed_adapters::{Column, Kind, Table};
use serde_json::Value;

use super::layout::{literal, type_of};
use crate::store::generated::on_delete;

/// The statements that make a table.
#[must_use]
pub fn create(table: &Table) -> Vec<String> {
    let (stamps, others): (Vec<_>, Vec<_>) =
        table.every_column().partition(|column| matches!(column.name.as_str(), "created_at" | "updated_at"));
    let all: Vec<&Column> = others.into_iter().chain(stamps).collect();
    let columns: Vec<String> = all.iter().map(|column| format!("    {}", definition(table, column))).collect();
    let create = format!("CREATE TABLE public.{} (\n{}\n)", table.name, columns.join(",\n"));
    let indexes = all.iter().filter(|column| column.references.is_some()).map(|column| index(table, column));
    [create].into_iter().chain(indexes).collect()
}

/// The statement that adds a column.
pub(super) fn add(table: &Table, column: &Column) -> String {
    format!("ALTER TABLE public.{} ADD COLUMN {}", table.name, definition(table, column))
}

/// The statement that makes the index of a reference; the server names it.
pub(super) fn index(table: &Table, column: &Column) -> String {
    format!("CREATE INDEX ON public.{} ({})", table.name, column.name)
}

fn definition(table: &Table, column: &Column) -> String {
    let name = &column.name;
    let mut definition = format!("{name} {}", type_of(column.kind).0);
    match name.as_str() {
        "id" => definition += " PRIMARY KEY",
        _ if !column.nullable => definition += " NOT NULL",
        _ => {}
    }
    match (name.as_str(), &column.default) {
        ("created_at" | "updated_at", _) => definition += " DEFAULT now()",
        (_, Some(value)) => definition += &format!(" DEFAULT {}", default(column, value)),
        (_, None) => {}
    }
    if let Some(parent) = &column.references {
        definition += &format!(" REFERENCES public.{parent} (id) ON DELETE {}", on_delete(table, column));
    }
    definition
}

fn default(column: &Column, value: &Value) -> String {
    let value = &column.kind.canonical(value.clone()).unwrap_or_default();
    match (column.kind, value) {
        (Kind::Bool | Kind::Number | Kind::Integer, value) => value.to_string(),
        (Kind::TextList, Value::Array(items)) => {
            let items: Vec<String> = items.iter().filter_map(Value::as_str).map(quoted_item).collect();
            literal(&format!("{{{}}}", items.join(",")))
        }
        (Kind::Json, value) => literal(&value.to_string()),
        (_, Value::String(text)) => literal(text),
        (_, value) => literal(&value.to_string()),
    }
}

/// An item of an array's text.
fn quoted_item(item: &str) -> String {
    format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))
}
