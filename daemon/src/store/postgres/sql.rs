//! SQL text made from an adapter and its place, once at start: rows out as JSON, rows in from JSON. Rows go out under the
//! names of the wire, whatever the columns are called in the database.

use ryzed_adapters::{Column, Kind, Registry, Table, UNSAID};

use super::layout::{Layout, Place, literal, quoted, type_of};
use super::sets::Sets;
use super::triggers::Placed;
use crate::store::Stopped;
use crate::store::statement::as_it_is;

/// The form in which a time travels, for `to_char`.
const TIME: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;

/// Stand in what writes for what makes sure of the table, and of the row that is there.
const TAKES: &str = "{takes}";
const WRITES: &str = "{writes}";

/// The statements of one table. Where a row is looked up by its id, it is so in a subquery of its own: the planner, which
/// learns late how much a table has grown, then has nothing to choose.
#[derive(Debug)]
pub(super) struct TableSql {
    /// Rows and index entries of the ids in `?1` (an array); tombstones only of the scopes in `?2`. Of a row that somebody
    /// else has, only that it is there.
    pub states: String,
    /// Changes of scope `?1` after `?2`, at most `?3`; with their rows where those are of this table, else with an empty text.
    pub records: String,
    /// The owners of the live rows with the ids in `?1` (an array); of an application's table, only of rows that its
    /// policies show.
    pub owners: String,
    /// Live rows of scope `?1` with `?2 < version <= ?3`, as JSON with `_version`, in version order.
    pub rows: String,
    /// Writes the rows in `?1` (a JSON array of rows); into an application's table those that are not there.
    pub upsert: String,
    /// Sets the fields in `?1` (a JSON array of parts of rows, each with its id) of rows that are there.
    pub update: String,
    /// Sets fields in an application's table, where a statement names only the columns that it sets.
    pub sets: Option<Sets>,
    /// Deletes the rows whose ids are in `?1` (an array).
    pub delete: String,
}

/// The conditions by which statements check a table themselves, since between two looks at the catalogue it may become
/// another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Guard {
    /// The number of the relation; none when it is not known yet.
    pub oid: Option<u32>,
    /// True if row level security is off, so that the statement has to check the owner.
    pub is_open: bool,
}

impl Guard {
    /// The condition for a row `alias` that is read: that its table is the one and kept by policies, or that the caller
    /// may see it.
    pub(super) fn reads(self, placed: Placed<'_>, table: &Table, place: &Place, alias: &str) -> String {
        let sees = self.is_open.then(|| format!(" AND ({})", placed.sees(table, place, alias)));
        self.same(table, &format!("{alias}.tableoid")) + &sees.unwrap_or_default()
    }

    /// The same condition for a row that is written.
    fn writes(self, placed: Placed<'_>, table: &Table, place: &Place, alias: &str) -> String {
        let writes = self.is_open.then(|| format!(" AND ({})", placed.writes(table, place, alias)));
        self.same(table, &format!("{alias}.tableoid")) + &writes.unwrap_or_default()
    }

    /// Of a table into which rows are put.
    pub(super) fn takes(self, table: &Table, place: &Place) -> String {
        self.same(table, &format!("to_regclass({})::oid", literal(&place.relation())))
    }

    /// That it is the table, bound by its policies, and that no trigger has noted rows of it which it could not book.
    fn same(self, table: &Table, oid: &str) -> String {
        let Some(known) = self.oid else { return "TRUE".into() };
        let binds =
            if self.is_open { String::new() } else { format!(" AND (SELECT row_security_active({known}::oid))") };
        let sound = format!("NOT (SELECT ryzed.is_stopped('{}'))", table.name);
        format!("CASE WHEN {oid} = {known}{binds} AND {sound} THEN TRUE ELSE ryzed.is_another() END")
    }
}

impl TableSql {
    pub(super) fn of(placed: Placed<'_>, table: &Table, place: &Place, guard: Guard) -> Self {
        let (name, relation) = (table.name, place.relation());
        let row = columns_out(&table.columns, place, "t");
        let json = row_said(&table.columns, place);
        let reads = guard.reads(placed, table, place, "t");
        let upsert = if table.is_external { insert(table, place) } else { upsert_whole(table, place) };
        let writes = guard.writes(placed, table, place, "t");
        Self {
            states: format!(
                "SELECT i.id::text, CASE WHEN e.row_id IS NOT NULL THEN '{{}}' WHEN r.row IS NOT NULL THEN r.row END, \
                 coalesce(e.scope, c.scope), c.version, c.operation, c.field_versions::text, c.previous::text \
                 FROM unnest(?1::uuid[]) i (id) LEFT JOIN LATERAL (SELECT {json} AS row FROM {relation} t \
                 CROSS JOIN LATERAL (SELECT {row}) r WHERE t.id = i.id AND {reads} OFFSET 0) r ON TRUE \
                 LEFT JOIN LATERAL (SELECT * FROM ryzed.changes c WHERE c.table_name = '{name}' AND c.row_id = i.id \
                 AND (c.operation <> 'DELETE' OR c.scope = ANY (?2::text[])) OFFSET 0) c ON TRUE \
                 LEFT JOIN ryzed.elsewhere('{name}', ?1::uuid[]) e ON e.row_id = i.id"
            ),
            records: changes_with(&[row_of(placed, table, place, guard)], "''"),
            rows: format!(
                "SELECT c.version, {json} FROM ryzed.changes c JOIN {relation} t ON t.id = c.row_id \
                 CROSS JOIN LATERAL (SELECT {row}, c.version AS _version) r WHERE c.scope = ?1 AND c.version > ?2 \
                 AND c.version <= ?3 AND c.table_name = '{name}' AND c.operation <> 'DELETE' AND {reads} ORDER BY c.version"
            ),
            upsert: upsert
                .replace(TAKES, &guard.takes(table, place))
                .replace(WRITES, &guard.writes(placed, table, place, "own")),
            update: update(table, place, &writes),
            sets: table.is_external.then(|| Sets::of_table(table, place, &writes)),
            delete: format!(
                "DELETE FROM {relation} own WHERE own.id = ANY (?1::uuid[]) AND {}",
                guard.writes(placed, table, place, "own")
            ),
            owners: owners(table, place, &reads),
        }
    }
}

/// Changes of scope `?1` after `?2`, at most `?3`, with their rows, whatever table they are of.
pub(super) fn records(placed: Placed<'_>, stopped: &Stopped, guard: impl Fn(&Table) -> Guard) -> String {
    let served = placed.iter().filter(|(table, _)| !stopped.has(table.name));
    let rows: Vec<String> = served.map(|(table, place)| row_of(placed, table, place, guard(table))).collect();
    changes_with(&rows, "NULL")
}

/// Changes with what their latest version changed (of a tombstone the former row) and with the row as it is. The database
/// gets ready to read every table that is named here, at each call and whether it comes to that or not.
fn changes_with(rows: &[String], other: &str) -> String {
    format!(
        "SELECT c.version, c.table_name, c.row_id::text, c.operation, c.source_device, CASE c.operation \
         WHEN 'DELETE' THEN (jsonb_build_object('id', c.row_id) || c.previous)::text \
         WHEN 'UPDATE' THEN (jsonb_build_object('id', c.row_id) || coalesce((SELECT \
             jsonb_object_agg(f.key, c.previous -> f.key -> -1 -> 1) FROM jsonb_each(c.field_versions) f \
             WHERE f.value = to_jsonb(c.version) AND f.key <> '*' AND c.previous -> f.key -> -1 IS NOT NULL), '{{}}'))::text END, \
         CASE WHEN c.operation <> 'DELETE' THEN CASE c.table_name WHEN '' THEN NULL {} ELSE {other} END END \
         FROM ryzed.changes c WHERE c.scope = ?1 AND c.version > ?2 ORDER BY c.version LIMIT ?3",
        rows.join(" ")
    )
}

fn row_of(placed: Placed<'_>, table: &Table, place: &Place, guard: Guard) -> String {
    let (name, relation, row) = (table.name, place.relation(), columns_out(&table.columns, place, "t"));
    let (json, reads) = (row_said(&table.columns, place), guard.reads(placed, table, place, "t"));
    format!(
        "WHEN '{name}' THEN (SELECT {json} FROM {relation} t CROSS JOIN LATERAL (SELECT {row}, c.version AS _version) r \
         WHERE t.id = c.row_id AND {reads} OFFSET 0)"
    )
}

/// The statement for [`TableSql::owners`]: rows that a policy hides from the caller count as missing.
fn owners(table: &Table, place: &Place, reads: &str) -> String {
    let name = table.name;
    let shown = if table.is_external {
        format!("AND EXISTS (SELECT FROM {} t WHERE t.id = i.id AND {reads})", place.relation())
    } else {
        String::new()
    };
    format!(
        "SELECT i.id::text, c.scope FROM unnest(?1::uuid[]) i (id) CROSS JOIN LATERAL (SELECT c.scope \
         FROM ryzed.changes c WHERE c.table_name = '{name}' AND c.row_id = i.id AND c.operation <> 'DELETE' {shown} LIMIT 1) c \
         UNION ALL SELECT row_id::text, scope FROM ryzed.elsewhere('{name}', ?1::uuid[])"
    )
}

/// Makes the row of the person `?1` (with the address `?2`, at `?3`) unless it is there; none where people have no rows.
pub(super) fn ensure_user(registry: &Registry, layout: &Layout) -> Option<String> {
    let (table, place) = (registry.get("users")?, layout.of("users")?);
    let given =
        [("id", "?1::uuid"), ("email", "?2"), ("created_at", "?3::timestamptz"), ("updated_at", "?3::timestamptz")];
    let given = given.into_iter().filter(|(name, _)| table.every_column().any(|c| c.name == *name && !c.is_computed));
    let (names, values): (Vec<String>, Vec<&str>) =
        given.map(|(name, value)| (quoted(place.physical(name)), value)).unzip();
    Some(format!(
        "INSERT INTO {relation} ({}) SELECT {} WHERE NOT EXISTS (SELECT FROM {relation} WHERE id = ?1::uuid) \
         ON CONFLICT (id) DO NOTHING",
        names.join(", "),
        values.join(", "),
        relation = place.relation(),
    ))
}

/// A time column or value as it travels.
pub(super) fn time_out(value: &str) -> String {
    format!("to_char({value} AT TIME ZONE 'utc', {TIME})")
}

/// The columns of the row `alias`, each in the form in which it travels.
pub(super) fn columns_out<'c>(columns: impl IntoIterator<Item = &'c Column>, place: &Place, alias: &str) -> String {
    let shown = columns.into_iter().filter(|column| place.shows(place.physical(&column.name)));
    let columns: Vec<String> = shown.map(|column| column_out(column, place, alias)).collect();
    columns.join(", ")
}

/// The same for an archive: what the wire can't say is the text that the database takes back.
pub(super) fn columns_kept<'c>(columns: impl IntoIterator<Item = &'c Column>, place: &Place, alias: &str) -> String {
    let columns = columns.into_iter().map(|column| {
        let at = Spot::of(column, place, alias);
        let out = match (at.unsaid(), column.kind) {
            (Some(unsaid), Kind::Time) => format!("CASE WHEN {unsaid} THEN {}::text ELSE {} END", at.value, at.out()),
            _ => at.out(),
        };
        format!("{out} AS {}", quoted(&column.name))
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn column_out(column: &Column, place: &Place, alias: &str) -> String {
    let (at, name) = (Spot::of(column, place, alias), quoted(&column.name));
    match at.unsaid() {
        Some(unsaid) => format!("CASE WHEN {unsaid} THEN NULL ELSE {} END AS {name}", at.out()),
        None => format!("{} AS {name}", at.out()),
    }
}

/// The row `r`, made of `t`, as JSON: with the mark [`UNSAID`] where a value of it can't be said.
fn row_said(columns: &[Column], place: &Place) -> String {
    let shown = columns.iter().filter(|column| place.shows(place.physical(&column.name)));
    let unsaid: Vec<(String, &str)> =
        shown.filter_map(|column| Some((Spot::of(column, place, "t").unsaid()?, column.name.as_str()))).collect();
    if unsaid.is_empty() {
        return "row_to_json(r.*)::text".into();
    }
    let any: Vec<&str> = unsaid.iter().map(|(test, _)| test.as_str()).collect();
    let names: Vec<String> =
        unsaid.iter().map(|(test, name)| format!("CASE WHEN {test} THEN {} END", literal(name))).collect();
    format!(
        "CASE WHEN {} THEN left(row_to_json(r.*)::text, -1) || ',\"{UNSAID}\":' || array_to_json(array_remove(ARRAY[{}], NULL))::text \
         || '}}' ELSE row_to_json(r.*)::text END",
        any.join(" OR "),
        names.join(", ")
    )
}

/// A column's value in a statement.
struct Spot<'p> {
    kind: Kind,
    base: &'p str,
    value: String,
}

impl<'p> Spot<'p> {
    fn of(column: &Column, place: &'p Place, alias: &str) -> Self {
        let physical = place.physical(&column.name);
        let base = place.at(physical).map_or(type_of(column.kind).1, |found| &found.base);
        Self { kind: column.kind, base, value: format!("{alias}.{}", quoted(physical)) }
    }

    /// The value in the form in which it travels.
    fn out(&self) -> String {
        match (self.kind, self.base) {
            (Kind::Time, _) => time_out(&self.value),
            // A whole number travels without a fraction, as it does from SQLite.
            (_, "numeric") => format!("trim_scale({})", self.value),
            _ => self.value.clone(),
        }
    }

    /// Tells a value that the column may hold and JSON, or the column's kind, can't say; none where there is none.
    fn unsaid(&self) -> Option<String> {
        let value = &self.value;
        match (self.kind, self.base) {
            (Kind::Time, _) => Some(format!(
                "{value} < '0001-01-01 00:00:00+00'::timestamptz OR {value} >= '10000-01-01 00:00:00+00'::timestamptz"
            )),
            (Kind::Integer, "int8") => Some(format!("{value} NOT BETWEEN -2147483648 AND 2147483647")),
            (Kind::Integer, "numeric") => {
                Some(format!("{value} NOT BETWEEN -2147483648 AND 2147483647 OR {value} <> trunc({value})"))
            }
            (_, "numeric") => Some(format!("{value} NOT BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308")),
            (_, "float8" | "float4") => Some(format!("{value} <= '-Infinity' OR {value} >= 'Infinity'")),
            (Kind::Text, "date") => Some(format!("{value} < '0001-01-01'::date OR {value} > '9999-12-31'::date")),
            (Kind::TextList, "_text" | "_varchar") => Some(format!(
                "CASE WHEN array_ndims({value}) > 1 THEN TRUE ELSE array_position({value}, NULL) IS NOT NULL END"
            )),
            _ => None,
        }
    }
}

fn upsert_whole(table: &Table, place: &Place) -> String {
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let typed: Vec<String> =
        table.columns.iter().map(|c| format!("{} {}", quoted(&c.name), type_of(c.kind).0)).collect();
    format!(
        "INSERT INTO {} AS own ({names}) SELECT {names} FROM json_to_recordset(?1::json) AS r ({}) WHERE {TAKES} \
         ON CONFLICT (id) DO UPDATE SET {} WHERE {WRITES}",
        place.relation(),
        typed.join(", "),
        sets(&names),
        names = names.join(", "),
    )
}

/// The statement that writes parts of rows; fields that a part lacks stay as they are, and long values are not even
/// read.
fn update(table: &Table, place: &Place, writes: &str) -> String {
    let travels = |name: &str| name != "id" && table.column(name).is_some();
    let written = place.columns.iter().filter(|column| travels(&column.name) && !column.read_only);
    let sets: Vec<String> = written
        .map(|column| {
            let (name, physical) = (quoted(&column.name), quoted(&column.column));
            let key = literal(&column.name);
            format!("{physical} = CASE WHEN j.brought ? {key} THEN r.{name} ELSE t.{physical} END")
        })
        .collect();
    let typed = place.columns.iter().filter(|column| table.column(&column.name).is_some());
    let typed: Vec<String> = typed.map(|column| format!("{} {}", quoted(&column.name), column.sql_type)).collect();
    format!(
        "UPDATE {relation} t SET {} FROM jsonb_array_elements(?1::jsonb) AS j (brought) \
         CROSS JOIN LATERAL jsonb_to_record(j.brought) AS r ({}) WHERE t.id = r.id AND {writes}",
        sets.join(", "),
        typed.join(", "),
        relation = place.relation(),
    )
}

/// Makes rows; what they don't bring is the database's to fill. It runs the application's rules for new rows, so it is for no
/// others; and it names no conflict, which a table with a `RULE` would refuse.
fn insert(table: &Table, place: &Place) -> String {
    let written = || place.columns.iter().filter(|c| !c.read_only && table.column(&c.name).is_some());
    let typed: Vec<String> = written().map(|c| format!("{} {}", quoted(&c.name), c.sql_type)).collect();
    let values: Vec<String> = written()
        .map(|column| {
            let name = quoted(&column.name);
            let default = as_it_is(column.default.as_deref().unwrap_or("NULL"));
            format!("CASE WHEN j.brought ? {} THEN r.{name} ELSE {default} END", literal(&column.name))
        })
        .collect();
    let names: Vec<String> = written().map(|column| quoted(&column.column)).collect();
    format!(
        "INSERT INTO {relation} ({}) SELECT {} FROM jsonb_array_elements(?1::jsonb) AS j (brought) \
         CROSS JOIN LATERAL jsonb_to_record(j.brought) AS r ({}) WHERE {TAKES}",
        names.join(", "),
        values.join(", "),
        typed.join(", "),
        relation = place.relation(),
    )
}

fn sets(names: &[String]) -> String {
    let sets: Vec<String> =
        names.iter().filter(|name| *name != "\"id\"").map(|name| format!("{name} = excluded.{name}")).collect();
    sets.join(", ")
}
