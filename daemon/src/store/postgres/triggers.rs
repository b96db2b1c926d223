//! What is put up round the synced tables, generated from the adapters: what the sidecar knows of them, their triggers,
//! who may see and write which of their rows.

use ryzed_adapters::{Merge, Registry, ScopeRule, Table};

/// The statements that put everything up, whatever stood before. What they are made of stays the same for the same adapters.
pub(super) fn all(registry: &Registry) -> Vec<String> {
    let mut statements = vec!["DELETE FROM ryzed.tables".to_owned()];
    statements.extend(registry.iter().flat_map(|table| of_table(table, registry)));
    statements.extend(registry.iter().map(|table| format!("SELECT ryzed.backfill('{}')", table.name)));
    statements
}

fn of_table(table: &Table, registry: &Registry) -> Vec<String> {
    let name = table.name;
    let (rule, column, parent) = ownership(table.scope);
    let deep: Vec<&str> = table.columns.iter().filter(|c| c.merge == Merge::Sum).map(|c| c.name.as_str()).collect();
    let deep = format!("{{{}}}", deep.join(","));
    let known_parent = parent.map_or("NULL".into(), |parent| format!("'{parent}'"));
    let mut statements = vec![format!(
        "INSERT INTO ryzed.tables VALUES ('{name}', 'public.{name}', '{rule}', '{column}', {known_parent}, '{deep}')"
    )];
    let arguments = format!("'{rule}', '{column}', '{}', '{deep}'", parent.unwrap_or_default());
    for (event, transitions) in [
        ("INSERT", "NEW TABLE AS new_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        ("DELETE", "OLD TABLE AS old_rows"),
    ] {
        let trigger = format!("ryzed_{}", event.to_lowercase());
        statements.push(format!("DROP TRIGGER IF EXISTS {trigger} ON public.{name}"));
        statements.push(format!(
            "CREATE TRIGGER {trigger} AFTER {event} ON public.{name} REFERENCING {transitions} \
             FOR EACH STATEMENT EXECUTE FUNCTION ryzed.record({arguments})"
        ));
    }
    statements.push(format!("DROP TRIGGER IF EXISTS ryzed_truncate ON public.{name}"));
    statements.push(format!(
        "CREATE TRIGGER ryzed_truncate BEFORE TRUNCATE ON public.{name} \
         FOR EACH STATEMENT EXECUTE FUNCTION ryzed.before_truncate()"
    ));
    statements.extend(policies(table, registry));
    statements
}

fn ownership(scope: ScopeRule) -> (&'static str, &'static str, Option<&'static str>) {
    match scope {
        ScopeRule::Person => ("person", "id", None),
        ScopeRule::Owner => ("owner", "user_id", None),
        ScopeRule::OwnerOrGlobal => ("owner_or_global", "user_id", None),
        ScopeRule::Via { column, parent } => ("via", column, Some(parent)),
    }
}

/// People see their own rows and the catalogue; they write their own, and its keepers the catalogue.
fn policies(table: &Table, registry: &Registry) -> Vec<String> {
    let name = table.name;
    let (sees, writes) = (sees(table, name, registry), writes(table, name, registry));
    let mut statements = vec![
        format!("ALTER TABLE public.{name} ENABLE ROW LEVEL SECURITY"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON public.{name} TO ryzed_daemon"),
    ];
    for (event, rule) in [
        ("SELECT", format!("USING ({sees})")),
        ("INSERT", format!("WITH CHECK ({writes})")),
        ("UPDATE", format!("USING ({writes}) WITH CHECK ({writes})")),
        ("DELETE", format!("USING ({writes})")),
    ] {
        let policy = format!("ryzed_{}", event.to_lowercase());
        statements.push(format!("DROP POLICY IF EXISTS {policy} ON public.{name}"));
        statements.push(format!("CREATE POLICY {policy} ON public.{name} FOR {event} TO ryzed_daemon {rule}"));
    }
    statements
}

fn sees(table: &Table, alias: &str, registry: &Registry) -> String {
    let own = |column: &str| format!("{alias}.{column} = (SELECT auth.uid()) OR (SELECT ryzed.is_daemon())");
    match table.scope {
        ScopeRule::Person => own("id"),
        ScopeRule::Owner => own("user_id"),
        ScopeRule::OwnerOrGlobal => format!("{alias}.user_id IS NULL OR {}", own("user_id")),
        ScopeRule::Via { column, parent } => above(alias, column, parent, registry, sees),
    }
}

fn writes(table: &Table, alias: &str, registry: &Registry) -> String {
    let own = |column: &str| format!("{alias}.{column} = (SELECT auth.uid())");
    match table.scope {
        ScopeRule::Person => own("id"),
        ScopeRule::Owner => own("user_id"),
        ScopeRule::OwnerOrGlobal => {
            format!("{} OR ({alias}.user_id IS NULL AND (SELECT ryzed.keeps_catalogue()))", own("user_id"))
        }
        ScopeRule::Via { column, parent } => above(alias, column, parent, registry, writes),
    }
}

fn above(
    alias: &str,
    column: &str,
    parent: &str,
    registry: &Registry,
    rule: fn(&Table, &str, &Registry) -> String,
) -> String {
    let up = format!("{alias}_up");
    let rule = registry.get(parent).map_or("FALSE".into(), |table| rule(table, &up, registry));
    format!("EXISTS (SELECT FROM public.{parent} {up} WHERE {up}.id = {alias}.{column} AND ({rule}))")
}
