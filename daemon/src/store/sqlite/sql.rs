//! SQL text made from an adapter, once at start: rows out as JSON, rows in from JSON.

use ryzed_adapters::{Column, Kind, Registry, ScopeRule, Table};

/// The statements of one table.
#[derive(Debug)]
pub(super) struct TableSql {
    /// Rows and index entries of the ids in `?1` (a JSON array); tombstones only of the scopes in `?2`.
    pub states: String,
    /// Live rows of scope `?1` with `?2 < version <= ?3`, as JSON with `_version`, in version order.
    pub rows: String,
    /// Writes the rows in `?1` (a JSON array of whole rows).
    pub upsert: String,
    /// Sets the fields in `?1` (a JSON array of parts of rows, each with its id) of rows that are there.
    pub update: String,
    /// Deletes the rows whose ids are in `?1` (a JSON array).
    pub delete: String,
    /// Enters rows into the index that it does not know, such as those written while no trigger stood.
    pub backfill: String,
}

impl TableSql {
    pub(super) fn of(table: &Table, registry: &Registry) -> Self {
        let name = table.name;
        let row = row_json(&table.columns, "t", None);
        let versioned = row_json(&table.columns, "t", Some("c.version"));
        Self {
            states: format!(
                "SELECT i.value, iif(t.id IS NULL, NULL, {row}), c.scope, c.version, c.operation, c.field_versions, c.previous \
                 FROM json_each(?1) i LEFT JOIN {name} t ON t.id = i.value \
                 LEFT JOIN sync_changes c ON c.table_name = '{name}' AND c.row_id = i.value \
                 AND (c.operation <> 'DELETE' OR c.scope IN (SELECT value FROM json_each(?2)))"
            ),
            rows: format!(
                "SELECT c.version, {versioned} FROM sync_changes c JOIN {name} t ON t.id = c.row_id \
                 WHERE c.scope = ?1 AND c.version > ?2 AND c.version <= ?3 AND c.table_name = '{name}' \
                 AND c.operation <> 'DELETE' ORDER BY c.version"
            ),
            upsert: upsert(table),
            update: update(table),
            delete: format!("DELETE FROM {name} WHERE id IN (SELECT value FROM json_each(?1))"),
            backfill: format!(
                "INSERT INTO sync_record (scope, table_name, row_id, operation) \
                 SELECT {scope}, '{name}', t.id, 'INSERT' FROM {name} t \
                 WHERE {scope} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sync_changes c \
                 WHERE c.table_name = '{name}' AND c.row_id = t.id AND c.operation <> 'DELETE')",
                scope = scope(table, "t", registry),
            ),
        }
    }
}

/// The scope of the row `alias`, NULL where a parent is missing.
pub(super) fn scope(table: &Table, alias: &str, registry: &Registry) -> String {
    match table.scope {
        ScopeRule::Person => format!("'user:' || {alias}.id"),
        ScopeRule::Owner => format!("'user:' || {alias}.user_id"),
        ScopeRule::OwnerOrGlobal => format!("iif({alias}.user_id IS NULL, 'global', 'user:' || {alias}.user_id)"),
        ScopeRule::Via { column, parent } => {
            let above = format!("{alias}_up");
            let inner = registry.get(parent).map_or("NULL".into(), |table| scope(table, &above, registry));
            format!("(SELECT {inner} FROM {parent} {above} WHERE {above}.id = {alias}.{column})")
        }
    }
}

/// These columns of the row `alias` as a JSON object, with `_version` when there is one.
pub(super) fn row_json<'c>(
    columns: impl IntoIterator<Item = &'c Column>,
    alias: &str,
    version: Option<&str>,
) -> String {
    let mut pairs: Vec<String> =
        columns.into_iter().map(|column| format!("'{}', {}", column.name, value_out(column, alias))).collect();
    if let Some(version) = version {
        pairs.push(format!("'_version', {version}"));
    }
    format!("json_object({})", pairs.join(", "))
}

/// A column's value in the form in which it travels.
pub(super) fn value_out(column: &Column, alias: &str) -> String {
    let value = format!("{alias}.{}", column.name);
    match column.kind {
        Kind::Bool => format!("json(CASE {value} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END)"),
        Kind::TextList | Kind::Json => format!("json({value})"),
        // A whole number travels without a fraction, as it does from PostgreSQL's numeric.
        Kind::Number => format!(
            "CASE WHEN {value} = CAST({value} AS INTEGER) AND abs({value}) < 9007199254740992 \
             THEN CAST({value} AS INTEGER) ELSE {value} END"
        ),
        // SQL from outside may write a time as datetime('now') does.
        Kind::Time => format!(
            "CASE WHEN {value} GLOB '????-??-??T??:??:??.??????Z' THEN {value} \
             ELSE coalesce(strftime('%Y-%m-%dT%H:%M:%f000Z', {value}), {value}) END"
        ),
        Kind::Uuid | Kind::Integer | Kind::Text => value,
    }
}

fn upsert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<String> = table.columns.iter().map(value_in).collect();
    let sets: Vec<String> =
        names.iter().filter(|name| **name != "id").map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM json_each(?1) WHERE TRUE ON CONFLICT (id) DO UPDATE SET {}",
        table.name,
        names.join(", "),
        values.join(", "),
        sets.join(", ")
    )
}

/// What a part does not bring stays as it is.
fn update(table: &Table) -> String {
    let name = table.name;
    let columns = table.columns.iter().filter(|column| column.name != "id");
    let sets: Vec<String> = columns
        .map(|column| {
            let (field, value) = (&column.name, value_in(column));
            format!("{field} = iif(value -> '$.{field}' IS NULL, {name}.{field}, {value})")
        })
        .collect();
    format!("UPDATE {name} SET {} FROM json_each(?1) WHERE {name}.id = value ->> '$.id'", sets.join(", "))
}

fn value_in(column: &Column) -> String {
    let name = &column.name;
    match column.kind {
        Kind::TextList | Kind::Json => format!("nullif(value -> '$.{name}', 'null')"),
        _ => format!("value ->> '$.{name}'"),
    }
}
