//! Compares a column of an application's table with one of an adapter: tells if it can be that one, and what it is
//! otherwise.

use ryzed_adapters::{Column, Kind, Sort, Travel};
use serde_json::{Value, json};

use super::super::layout::{PlacedColumn, type_of};
use super::facts::{FoundColumn, Relation};
use super::ident::ident;

/// True if values of the column can be those that the adapter means.
pub(super) fn tolerates(kind: Kind, found: &FoundColumn) -> bool {
    let base = found.base.as_str();
    match kind {
        Kind::Uuid => base == "uuid",
        Kind::Time => base == "timestamptz",
        Kind::Number => matches!(base, "numeric" | "float8" | "float4" | "int8" | "int4" | "int2"),
        Kind::Integer => matches!(base, "int4" | "int2" | "int8" | "numeric"),
        Kind::Bool => base == "bool",
        Kind::Text => matches!(base, "text" | "varchar" | "bpchar" | "citext") || !found.labels.is_empty(),
        Kind::TextList => matches!(base, "_text" | "_varchar" | "jsonb" | "json"),
        Kind::Json => matches!(base, "jsonb" | "json"),
    }
}

/// True for the base types that an adapter's column can have.
pub(in super::super) fn is_base(name: &str) -> bool {
    const BASES: [&str; 17] = [
        "uuid",
        "timestamptz",
        "numeric",
        "float8",
        "float4",
        "int8",
        "int4",
        "int2",
        "bool",
        "text",
        "varchar",
        "bpchar",
        "citext",
        "_text",
        "_varchar",
        "jsonb",
        "json",
    ];
    BASES.contains(&name)
}

pub(super) fn mismatch(column: &Column, found: &FoundColumn, relation: &Relation) -> String {
    let wanted = type_of(column.kind).0;
    let hint = match (column.kind, found.base.as_str()) {
        (Kind::Time, "timestamp") => format!(
            " and no moment in time. If it is UTC: ALTER TABLE {} ALTER {column} TYPE timestamptz USING {column} AT TIME ZONE 'UTC'",
            relation.sql(),
            column = ident(&found.name),
        ),
        _ => String::new(),
    };
    format!("is {}, not {wanted}{hint}; not synced{}", found.sql_type, demand(column))
}

/// The mismatch of an enum's values with those that the adapter means: devices could not send back what they get.
pub(super) fn other_labels(column: &Column, property: &Value, found: &FoundColumn) -> Option<String> {
    let options: Vec<&str> = property["enum"].as_array()?.iter().filter_map(Value::as_str).collect();
    let others: Vec<&str> = found.labels.iter().map(String::as_str).filter(|label| !options.contains(label)).collect();
    (!others.is_empty()).then(|| {
        format!(
            "has the values {}, which apps don't know: theirs are {}; not synced{}",
            others.join(", "),
            options.join(", "),
            demand(column)
        )
    })
}

pub(super) fn absence(column: &Column) -> String {
    format!("not there, not synced{}", demand(column))
}

/// A warning for a column that is not synced though apps expect it; else empty.
fn demand(column: &Column) -> &'static str {
    if column.required {
        ". Apps expect it in every row: rows come without it, and devices that send it are told unknown_field"
    } else {
        ""
    }
}

pub(super) fn fills_itself(found: &FoundColumn) -> bool {
    found.default.is_some() || found.is_generated || found.is_counted
}

pub(super) fn is_computed(found: &FoundColumn) -> bool {
    found.is_generated || found.is_counted
}

/// True if a row needs a value for it that only its writer can give.
pub(super) fn must_be_given(found: &FoundColumn) -> bool {
    !found.nullable && !fills_itself(found)
}

pub(super) fn described(found: &FoundColumn) -> String {
    let read_only = if is_computed(found) { ", read-only" } else { "" };
    let needed = if must_be_given(found) { ", devices must give it" } else { "" };
    format!("{}{read_only}{needed}", found.sql_type)
}

pub(super) fn placed_column(wire: &str, found: &FoundColumn, property: Option<Value>) -> PlacedColumn {
    PlacedColumn {
        name: wire.into(),
        column: found.name.clone(),
        sql_type: found.sql_type.clone(),
        base: found.base.clone(),
        nullable: found.nullable,
        fills_itself: fills_itself(found),
        read_only: is_computed(found),
        longest: found.longest,
        property,
        default: found.default.clone(),
        travel: Travel::default(),
    }
}

/// The kind of a column's values, as far as it decides whether they travel. Types that are on no list may hold
/// anything.
pub(super) fn sort(found: &FoundColumn) -> Sort {
    if !found.labels.is_empty() || found.is_label_list {
        return Sort::Text;
    }
    match found.base.as_str() {
        "bool" => Sort::Switch,
        "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" | "money" => Sort::Number,
        "timestamptz" | "timestamp" | "date" | "time" | "timetz" | "interval" => Sort::Moment,
        "text" | "varchar" | "bpchar" | "citext" | "name" | "_text" | "_varchar" | "_bpchar" | "_citext" => Sort::Text,
        "uuid" => Sort::Id,
        "json" | "jsonb" | "_json" | "_jsonb" | "_uuid" | "_bool" | "_int2" | "_int4" | "_int8" | "_numeric"
        | "_float4" | "_float8" | "_timestamptz" | "_timestamp" | "_date" | "_time" | "inet" | "cidr" | "macaddr" => {
            Sort::Structure
        }
        _ => Sort::Unknown,
    }
}

/// The JSON Schema of a column that no adapter knows: its values travel as the database writes them.
pub(super) fn property(found: &FoundColumn) -> Value {
    const OURS: &str = "A column of the application's own.";
    let mut property = match found.base.as_str() {
        "uuid" => json!({"type": "string", "format": "uuid"}),
        "timestamptz" => json!({"type": "string", "format": "date-time"}),
        "int2" => json!({"type": "integer", "minimum": i16::MIN, "maximum": i16::MAX}),
        "int4" => json!({"type": "integer"}),
        "int8" | "numeric" | "float4" | "float8" => json!({"type": "number"}),
        "bool" => json!({"type": "boolean"}),
        "_text" | "_varchar" => json!({"type": "array", "items": {"type": "string"}}),
        "date" => json!({"type": "string", "format": "date"}),
        "json" | "jsonb" => json!({}),
        _ if !found.labels.is_empty() => json!({"type": "string", "enum": found.labels}),
        "text" | "varchar" | "bpchar" | "citext" | "timestamp" | "time" | "timetz" | "interval" | "bytea" | "inet"
        | "cidr" | "macaddr" | "money" | "name" | "tsvector" | "xml" | "ltree" => json!({"type": "string"}),
        // Composites, ranges, other arrays: whatever JSON the database makes of them.
        _ => json!({}),
    };
    property["description"] = OURS.into();
    property
}
