//! The triggers on the synced tables, generated from the adapters.
//!
//! They only say what happened to which row; the trigger of the view `sync_record` (in the migrations) keeps the books.
//! They run in every connection that writes, so they use nothing that is newer than SQLite 3.38.

use ryzed_adapters::{Column, Kind, Merge, Registry, ScopeRule, Table};

use super::sql::{row_kept, scope, value_kept};

/// `CREATE TRIGGER` statements for all tables.
pub(super) fn all(registry: &Registry) -> Vec<String> {
    registry.iter().flat_map(|table| of_table(table, registry)).collect()
}

/// The triggers of one table.
pub(super) fn of_table(table: &Table, registry: &Registry) -> Vec<String> {
    let mut triggers = vec![
        on_insert(table, registry),
        on_delete(table, registry),
        on_update(table, registry),
        on_rename(table, registry),
    ];
    triggers.extend(on_move(table, registry));
    triggers
}

fn on_insert(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    format!(
        // No look at the index first: INSERT OR REPLACE deletes without telling the delete trigger.
        "CREATE TRIGGER sync_{name}_insert AFTER INSERT ON {name} BEGIN \
         INSERT INTO sync_record (scope, table_name, row_id, operation) SELECT n.scope, '{name}', NEW.id, 'INSERT' \
         FROM (SELECT {} AS scope) n WHERE n.scope IS NOT NULL; END",
        scope(table, "NEW", registry)
    )
}

fn on_delete(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    format!(
        "CREATE TRIGGER sync_{name}_delete AFTER DELETE ON {name} BEGIN {} {} END",
        forget_below(table, registry),
        record_gone(table, "", registry)
    )
}

/// Other values in the same scope, or the row has moved into another scope.
fn on_update(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    let now_in = scope(table, "NEW", registry);
    format!(
        "CREATE TRIGGER sync_{name}_update AFTER UPDATE ON {name} WHEN NEW.id = OLD.id AND ({differs}) BEGIN \
         INSERT INTO sync_record (scope, table_name, row_id, operation, former, deep, long) \
         SELECT c.scope, '{name}', NEW.id, iif({was}, 'UPDATE', 'INSERT'), {former}, {deep}, {long} FROM sync_changes c \
         WHERE c.table_name = '{name}' AND c.row_id = NEW.id AND c.operation <> 'DELETE' AND c.scope = {now_in}; \
         {left} {entered} END",
        // Was it another's for a while, then it is new here.
        was = match table.scope {
            ScopeRule::Via { .. } => "TRUE".to_owned(),
            _ => format!("{} IS c.scope", scope(table, "OLD", registry)),
        },
        differs = differs(table),
        former = former(table),
        deep = deep(table),
        long = long(table),
        left = record_gone(table, &format!("AND c.scope <> {now_in}"), registry),
        entered = record_new(name, &now_in),
    )
}

/// Another id is another row.
fn on_rename(table: &Table, registry: &Registry) -> String {
    let name = table.name;
    format!(
        "CREATE TRIGGER sync_{name}_rename AFTER UPDATE OF id ON {name} WHEN NEW.id <> OLD.id BEGIN {} {} END",
        record_gone(table, "", registry),
        record_new(name, &scope(table, "NEW", registry))
    )
}

/// A row that changes owner takes its descendants with it.
fn on_move(table: &Table, registry: &Registry) -> Option<String> {
    let name = table.name;
    if table.scope == ScopeRule::Person {
        return None;
    }
    let column = table.scope.column();
    let scopes = (scope(table, "OLD", registry), scope(table, "NEW", registry));
    let body = moves_below(name, "NEW.id", (&scopes.0, &scopes.1), registry);
    (!body.is_empty()).then(|| {
        format!(
            "CREATE TRIGGER sync_{name}_move AFTER UPDATE OF {column} ON {name} \
             WHEN NEW.{column} IS NOT OLD.{column} BEGIN {body} END"
        )
    })
}

fn moves_below(parent: &str, ids: &str, (was_in, now_in): (&str, &str), registry: &Registry) -> String {
    let mut body = String::new();
    for (child, column) in registry.children_of(parent) {
        let name = child.name;
        body += &format!(
            "INSERT INTO sync_record (scope, table_name, row_id, operation, former) \
             SELECT c.scope, '{name}', d.id, 'DELETE', iif(c.scope IS {was_in}, {row}, '{{}}') FROM {name} d JOIN sync_changes c \
             ON c.table_name = '{name}' AND c.row_id = d.id AND c.operation <> 'DELETE' \
             WHERE d.{column} IN ({ids}) AND c.scope <> {now_in}; \
             INSERT INTO sync_record (scope, table_name, row_id, operation) \
             SELECT {now_in}, '{name}', d.id, 'INSERT' FROM {name} d WHERE d.{column} IN ({ids}) \
             AND {now_in} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sync_changes c WHERE c.table_name = '{name}' \
             AND c.row_id = d.id AND c.operation <> 'DELETE' AND c.scope = {now_in}); ",
            row = row_kept(&child.columns, "d"),
        );
        let below = format!("SELECT id FROM {name} WHERE {column} IN ({ids})");
        body += &moves_below(name, &below, (was_in, now_in), registry);
    }
    body
}

/// NEW is a row that its scope did not have.
fn record_new(name: &str, now_in: &str) -> String {
    format!(
        "INSERT INTO sync_record (scope, table_name, row_id, operation) SELECT n.scope, '{name}', NEW.id, 'INSERT' \
         FROM (SELECT {now_in} AS scope) n WHERE n.scope IS NOT NULL AND NOT EXISTS (SELECT 1 FROM sync_changes c \
         WHERE c.table_name = '{name}' AND c.row_id = NEW.id AND c.operation <> 'DELETE' AND c.scope = n.scope);"
    )
}

/// Removes OLD from the scopes that had it. They are read from the index: in a cascade the parent is already gone. The
/// values of OLD are kept only where it belonged: it may have changed hands while no trigger looked.
fn record_gone(table: &Table, only: &str, registry: &Registry) -> String {
    let name = table.name;
    format!(
        "INSERT INTO sync_record (scope, table_name, row_id, operation, former) \
         SELECT c.scope, '{name}', OLD.id, 'DELETE', iif({vouched}, {row}, '{{}}') FROM sync_changes c \
         WHERE c.table_name = '{name}' AND c.row_id = OLD.id AND c.operation <> 'DELETE' {only};",
        vouched = vouched(table, "OLD", registry),
        row = row_kept(&table.columns, "OLD"),
    )
}

/// The condition that the row `alias` belongs to the scope of its entry `c`, or did until it was deleted or moved just
/// now.
fn vouched(table: &Table, alias: &str, registry: &Registry) -> String {
    let ScopeRule::Via { column, parent } = table.scope else {
        return format!("{} IS c.scope", scope(table, alias, registry));
    };
    // A parent that went on its own, or moved, left what it was; one that goes right now is gone and still in the index.
    format!(
        "EXISTS (SELECT 1 FROM sync_changes a WHERE a.table_name = '{parent}' AND a.row_id = {alias}.{column} AND a.scope = c.scope \
         AND CASE a.operation WHEN 'DELETE' THEN a.previous <> '{{}}' ELSE coalesce({}, c.scope) = c.scope END)",
        scope(table, alias, registry)
    )
}

/// Takes back what the rows below OLD were, which went in its cascade, from the scopes whose row OLD was not.
fn forget_below(table: &Table, registry: &Registry) -> String {
    let strange = format!(
        "SELECT c.scope FROM sync_changes c WHERE c.table_name = '{}' AND c.row_id = OLD.id AND c.operation <> 'DELETE' AND NOT {}",
        table.name,
        vouched(table, "OLD", registry)
    );
    let mut body = String::new();
    let mut above = vec![(table.name, "OLD.id".to_owned())];
    while let Some((parent, ids)) = above.pop() {
        for (child, column) in registry.children_of(parent) {
            let name = child.name;
            // From the bottom up: who is forgotten no longer says what it hung on.
            body.insert_str(
                0,
                &format!(
                    "UPDATE sync_changes SET previous = '{{}}' WHERE table_name = '{name}' AND operation = 'DELETE' \
                     AND scope IN ({strange}) AND previous ->> '{column}' IN ({ids}); "
                ),
            );
            above.push((
                name,
                format!(
                    "SELECT row_id FROM sync_changes WHERE table_name = '{name}' AND operation = 'DELETE' \
                     AND scope IN ({strange}) AND previous ->> '{column}' IN ({ids})"
                ),
            ));
        }
    }
    body
}

fn differs(table: &Table) -> String {
    let tests: Vec<String> = table.columns.iter().map(|c| format!("NEW.{0} IS NOT OLD.{0}", c.name)).collect();
    tests.join(" OR ")
}

/// The longest former value that is kept, in characters.
const LONGEST_FORMER: usize = 16_384;

/// The former values of the changed columns, as a JSON object; without those that are too long.
fn former(table: &Table) -> String {
    let value = |c: &Column| {
        let fits = if can_be_long(c) { format!(" AND NOT {}", is_long(c)) } else { String::new() };
        format!(
            "('{0}', CASE WHEN NEW.{0} IS NOT OLD.{0}{fits} THEN json_quote({1}) END)",
            c.name,
            value_kept(c, "OLD")
        )
    };
    let values: Vec<String> = table.columns.iter().map(value).collect();
    let values = values.join(", ");
    format!("(SELECT json_group_object(column1, json(column2)) FROM (VALUES {values}) WHERE column2 IS NOT NULL)")
}

/// The changed columns whose former values are too long.
fn long(table: &Table) -> String {
    let columns = table.columns.iter().filter(|c| can_be_long(c));
    let names: Vec<String> =
        columns.map(|c| format!("('{0}', NEW.{0} IS NOT OLD.{0} AND {1})", c.name, is_long(c))).collect();
    if names.is_empty() {
        return "NULL".into();
    }
    format!("(SELECT json_group_array(column1) FROM (VALUES {}) WHERE column2)", names.join(", "))
}

fn can_be_long(column: &Column) -> bool {
    matches!(column.kind, Kind::Text | Kind::TextList | Kind::Json)
}

fn is_long(column: &Column) -> String {
    format!("coalesce(length(OLD.{}), 0) > {LONGEST_FORMER}", column.name)
}

/// Columns whose conflicts need the value at any recent version, not just the last former one.
fn deep(table: &Table) -> String {
    let names: Vec<String> =
        table.columns.iter().filter(|c| c.merge == Merge::Sum).map(|c| format!("\"{}\"", c.name)).collect();
    if names.is_empty() { "NULL".into() } else { format!("'[{}]'", names.join(",")) }
}
