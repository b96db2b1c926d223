//! SQL text made from an adapter, once at start: rows out as JSON, rows in from JSON.

use ryzed_adapters::{Column, Kind, Registry, ScopeRule, Table, UNSAID};

/// The name of the rows that a statement is given: one that no table has, and whose columns are not taken for a table's.
const GIVEN: &str = "_given";

/// The most columns whose values are named at once: functions of SQLite before 3.48 take up to 100 arguments in some builds.
const COLUMNS_AT_ONCE: usize = 40;

/// The statements of one table.
#[derive(Debug)]
pub(super) struct TableSql {
    /// Rows and index entries of the ids in `?1` (a JSON array); tombstones only of the scopes in `?2`.
    pub states: String,
    /// Live rows of scope `?1` with `?2 < version <= ?3`, as JSON with `_version`, in version order.
    pub rows: String,
    /// Live rows behind the version of each span in `?1` (`[[scope, version], …]`), with the span's place.
    pub all_rows: String,
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
        let row = row_said(&table.columns, "t", None);
        let versioned = row_said(&table.columns, "t", Some("c.version"));
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
            all_rows: format!(
                "SELECT i.key, c.version, {versioned} FROM json_each(?1) i CROSS JOIN sync_changes c JOIN {name} t ON t.id = c.row_id \
                 WHERE c.scope = i.value ->> 0 AND c.version > i.value ->> 1 AND c.table_name = '{name}' \
                 AND c.operation <> 'DELETE' ORDER BY i.key, c.version"
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

/// These columns of the row `alias` as a JSON object, as they are kept: what the wire can't say is a text that the table takes
/// back.
pub(super) fn row_kept<'c>(columns: impl IntoIterator<Item = &'c Column>, alias: &str) -> String {
    let pair = |column: &Column| (column.name.clone(), value_kept(column, alias));
    object(&columns.into_iter().map(pair).collect::<Vec<_>>())
}

/// A JSON object of these names and values.
fn object(pairs: &[(String, String)]) -> String {
    let mut parts = pairs.chunks(COLUMNS_AT_ONCE);
    let first: Vec<String> =
        parts.next().into_iter().flatten().map(|(name, value)| format!("'{name}', {value}")).collect();
    parts.fold(format!("json_object({})", first.join(", ")), |object, part| {
        let more: Vec<String> = part.iter().map(|(name, value)| format!("'$.{name}', {value}")).collect();
        format!("json_insert({object}, {})", more.join(", "))
    })
}

/// These columns of the row `alias` as a JSON object, as they travel, with `_version` when there is one, and with the mark
/// [`UNSAID`] where a value can't be said.
fn row_said(columns: &[Column], alias: &str, version: Option<&str>) -> String {
    let mut pairs: Vec<(String, String)> =
        columns.iter().map(|column| (column.name.clone(), value_said(column, alias))).collect();
    pairs.extend(version.map(|version| ("_version".to_owned(), version.to_owned())));
    let row = object(&pairs);
    let unsaid: Vec<(String, &str)> =
        columns.iter().filter_map(|column| Some((unsaid(column, alias)?, column.name.as_str()))).collect();
    let any: Vec<&str> = unsaid.iter().map(|(test, _)| test.as_str()).collect();
    let named: Vec<String> = unsaid.iter().map(|(test, name)| format!("('{name}', {test})")).collect();
    format!(
        "iif({}, json_set({row}, '$.{UNSAID}', (SELECT json_group_array(column1) FROM (VALUES {}) WHERE column2)), {row})",
        any.join(" OR "),
        named.join(", ")
    )
}

fn value_said(column: &Column, alias: &str) -> String {
    let value = value_out(column, alias);
    match (unsaid(column, alias), column.kind) {
        (Some(unsaid), Kind::TextList) => format!("json(iif({unsaid}, 'null', {alias}.{}))", column.name),
        (Some(unsaid), Kind::Number | Kind::Integer) => format!("iif({unsaid}, NULL, {value})"),
        _ => value,
    }
}

/// A column's value as it is kept; it is what travels, but for what the wire can't say.
pub(super) fn value_kept(column: &Column, alias: &str) -> String {
    let (value, out) = (format!("{alias}.{}", column.name), value_out(column, alias));
    match column.kind {
        Kind::Number => format!("CASE {value} WHEN 9e999 THEN 'Infinity' WHEN -9e999 THEN '-Infinity' ELSE {out} END"),
        Kind::Time => format!("coalesce({out}, {value})"),
        _ => out,
    }
}

/// A column's value in the form in which it travels; of a time that can't be said, NULL.
fn value_out(column: &Column, alias: &str) -> String {
    let value = format!("{alias}.{}", column.name);
    match column.kind {
        Kind::Bool => format!("json(CASE {value} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END)"),
        Kind::TextList | Kind::Json => format!("json({value})"),
        // A whole number travels without a fraction, as it does from PostgreSQL's numeric.
        Kind::Number => format!(
            "CASE WHEN {value} = CAST({value} AS INTEGER) AND abs({value}) < 9007199254740992 \
             THEN CAST({value} AS INTEGER) ELSE {value} END"
        ),
        Kind::Time => time_out(&value),
        Kind::Uuid | Kind::Integer | Kind::Text => value,
    }
}

/// Tells a value that the column may hold and JSON, or the column's kind, can't say; none where there is none.
fn unsaid(column: &Column, alias: &str) -> Option<String> {
    let value = format!("{alias}.{}", column.name);
    match column.kind {
        Kind::Number => Some(format!("abs({value}) > 1.7976931348623157e308")),
        Kind::Integer => Some(format!("{value} NOT BETWEEN -2147483648 AND 2147483647")),
        Kind::Time => Some(format!("{value} IS NOT NULL AND {} IS NULL", time_out(&value))),
        Kind::TextList => Some(format!("EXISTS (SELECT 1 FROM json_each({value}) WHERE type <> 'text')")),
        Kind::Uuid | Kind::Bool | Kind::Text | Kind::Json => None,
    }
}

/// A time in the form of the wire; NULL when the text is none. SQL from outside may write one as datetime('now') does.
fn time_out(value: &str) -> String {
    let digits = |places: usize| "[0-9]".repeat(places);
    let (four, two) = (digits(4), digits(2));
    let form = format!("{four}-{two}-{two}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].{two}{four}Z");
    // Most times are seen to be good without a look at the calendar.
    let in_calendar = format!(
        "{value} >= '0001' AND substr({value}, 6, 5) BETWEEN '01-01' AND '12-31' AND substr({value}, 9, 2) >= '01' \
         AND (substr({value}, 9, 2) < '29' OR date({value}) = substr({value}, 1, 10)) AND substr({value}, 12, 2) < '24'"
    );
    let read = format!("strftime('%Y-%m-%dT%H:%M:%f000Z', {value})");
    format!(
        "CASE WHEN {value} GLOB '{form}' THEN iif({in_calendar}, {value}, NULL) \
         WHEN {value} GLOB '{four}-{two}-{two}*' AND {read} >= '0001' THEN {read} END"
    )
}

fn upsert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<String> = table.columns.iter().map(value_in).collect();
    let sets: Vec<String> =
        names.iter().filter(|name| **name != "id").map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM json_each(?1) {GIVEN} WHERE TRUE ON CONFLICT (id) DO UPDATE SET {}",
        table.name,
        names.join(", "),
        values.join(", "),
        sets.join(", ")
    )
}

/// The statement that writes parts of rows; fields that a part lacks stay as they are.
fn update(table: &Table) -> String {
    let name = table.name;
    let columns = table.columns.iter().filter(|column| column.name != "id");
    let sets: Vec<String> = columns
        .map(|column| {
            let (field, value) = (&column.name, value_in(column));
            format!("{field} = iif({GIVEN}.value -> '$.{field}' IS NULL, {name}.{field}, {value})")
        })
        .collect();
    format!(
        "UPDATE {name} SET {} FROM json_each(?1) {GIVEN} WHERE {name}.id = {GIVEN}.value ->> '$.id'",
        sets.join(", ")
    )
}

fn value_in(column: &Column) -> String {
    let (name, given) = (&column.name, format!("{GIVEN}.value"));
    match column.kind {
        Kind::TextList | Kind::Json => format!("nullif({given} -> '$.{name}', 'null')"),
        Kind::Number => number_in(name, &given),
        _ => format!("{given} ->> '$.{name}'"),
    }
}

/// A number of the JSON object `given`, or what [`value_kept`] makes of one that JSON can't say.
pub(super) fn number_in(name: &str, given: &str) -> String {
    let value = format!("{given} ->> '$.{name}'");
    format!("CASE {value} WHEN 'Infinity' THEN 9e999 WHEN '-Infinity' THEN -9e999 ELSE {value} END")
}
