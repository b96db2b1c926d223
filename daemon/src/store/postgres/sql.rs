//! SQL text made from an adapter, once at start: rows out as JSON, rows in from JSON.

use ryzed_adapters::{Column, Kind, Registry, Table};

/// The form in which a time travels, for `to_char`.
const TIME: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;

/// The statements of one table. Where a row is looked up by its id, it is so in a subquery of its own: the planner, which
/// learns late how much a table has grown, then has nothing to choose.
#[derive(Debug)]
pub(super) struct TableSql {
    /// Rows and index entries of the ids in `?1` (an array); tombstones only of the scopes in `?2`. Of a row that somebody
    /// else has, only that it is there.
    pub states: String,
    /// Live rows of scope `?1` with `?2 < version <= ?3`, as JSON with `_version`, in version order.
    pub rows: String,
    /// Writes the rows in `?1` (a JSON array of whole rows).
    pub upsert: String,
    /// Deletes the rows whose ids are in `?1` (an array).
    pub delete: String,
}

impl TableSql {
    pub(super) fn of(table: &Table) -> Self {
        let name = table.name;
        let row = columns_out(table, "t");
        Self {
            states: format!(
                "SELECT i.id::text, CASE WHEN e.row_id IS NOT NULL THEN '{{}}' WHEN r.id IS NOT NULL THEN row_to_json(r)::text END, \
                 coalesce(e.scope, c.scope), c.version, c.operation, c.field_versions::text, c.previous::text \
                 FROM unnest(?1::uuid[]) i (id) LEFT JOIN LATERAL (SELECT {row} FROM public.{name} t WHERE t.id = i.id OFFSET 0) r ON TRUE \
                 LEFT JOIN LATERAL (SELECT * FROM ryzed.changes c WHERE c.table_name = '{name}' AND c.row_id = i.id \
                 AND (c.operation <> 'DELETE' OR c.scope = ANY (?2::text[])) OFFSET 0) c ON TRUE \
                 LEFT JOIN ryzed.elsewhere('{name}', ?1::uuid[]) e ON e.row_id = i.id"
            ),
            rows: format!(
                "SELECT r._version, row_to_json(r)::text FROM (SELECT {row}, c.version AS _version \
                 FROM ryzed.changes c JOIN public.{name} t ON t.id = c.row_id WHERE c.scope = ?1 AND c.version > ?2 \
                 AND c.version <= ?3 AND c.table_name = '{name}' AND c.operation <> 'DELETE' ORDER BY c.version) r"
            ),
            upsert: upsert(table),
            delete: format!("DELETE FROM public.{name} WHERE id = ANY (?1::uuid[])"),
        }
    }
}

/// Changes with what their latest version changed (of a tombstone the former row) and with the row as it is.
pub(super) fn records(registry: &Registry) -> String {
    let rows: Vec<String> = registry
        .iter()
        .map(|table| {
            let (name, row) = (table.name, columns_out(table, "t"));
            format!(
                "WHEN '{name}' THEN (SELECT row_to_json(r)::text FROM (SELECT {row}, c.version AS _version \
                 FROM public.{name} t WHERE t.id = c.row_id OFFSET 0) r)"
            )
        })
        .collect();
    format!(
        "SELECT c.version, c.table_name, c.row_id::text, c.operation, c.source_device, CASE c.operation \
         WHEN 'DELETE' THEN c.previous::text \
         WHEN 'UPDATE' THEN (jsonb_build_object('id', c.row_id) || coalesce((SELECT \
             jsonb_object_agg(f.key, c.previous -> f.key -> -1 -> 1) FROM jsonb_each(c.field_versions) f \
             WHERE f.value = to_jsonb(c.version) AND f.key <> '*'), '{{}}'))::text END, \
         CASE WHEN c.operation <> 'DELETE' THEN CASE c.table_name {} END END \
         FROM ryzed.changes c WHERE c.scope = ?1 AND c.version > ?2 ORDER BY c.version LIMIT ?3",
        rows.join(" ")
    )
}

/// A time column or value as it travels.
pub(super) fn time_out(value: &str) -> String {
    format!("to_char({value} AT TIME ZONE 'utc', {TIME})")
}

/// The columns of the row `alias`, each in the form in which it travels.
pub(super) fn columns_out(table: &Table, alias: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| column_out(column, alias)).collect();
    columns.join(", ")
}

fn column_out(column: &Column, alias: &str) -> String {
    let name = &column.name;
    let value = format!("{alias}.{name}");
    match column.kind {
        Kind::Time => format!("{} AS {name}", time_out(&value)),
        // A whole number travels without a fraction, as it does from SQLite.
        Kind::Number => format!("trim_scale({value}) AS {name}"),
        Kind::Bool | Kind::TextList | Kind::Json | Kind::Uuid | Kind::Integer | Kind::Text => value,
    }
}

fn upsert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let typed: Vec<String> = table.columns.iter().map(|c| format!("{} {}", c.name, type_of(c.kind))).collect();
    let sets: Vec<String> =
        names.iter().filter(|name| **name != "id").map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "INSERT INTO public.{} ({names}) SELECT {names} FROM json_to_recordset(?1::json) AS r ({}) \
         ON CONFLICT (id) DO UPDATE SET {}",
        table.name,
        typed.join(", "),
        sets.join(", "),
        names = names.join(", "),
    )
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Uuid => "uuid",
        Kind::Time => "timestamptz",
        Kind::Number => "numeric",
        Kind::Integer => "integer",
        Kind::Bool => "boolean",
        Kind::Text => "text",
        Kind::TextList => "text[]",
        Kind::Json => "jsonb",
    }
}
