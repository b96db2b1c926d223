//! Generates, from the adapters, the SQL around the synced tables: their entries in the sidecar, their triggers, and
//! the policies on their rows.

use ryzed_adapters::{Merge, Registry, ScopeRule, Table};

use super::layout::{Layout, Permits, Place, literal, quoted};

/// The names of the triggers that every synced table has.
pub(super) const TRIGGERS: [&str; 5] = ["ryzed_insert", "ryzed_update", "ryzed_delete", TRUNCATE, ROW];
/// The name of the one that books row by row where those for statements are not fired: for a subscription's worker, and under
/// `session_replication_role = replica`. Instances of the last release would take it for one of theirs that is switched off, had
/// it a name like those.
pub(super) const ROW: &str = "replica_ryzed";
/// The trigger of `TRUNCATE`, which fires wherever that is said.
pub(super) const TRUNCATE: &str = "ryzed_truncate";
/// The name of one more, on tables whose children may be there before. It is fired after that which enters the rows, since
/// names decide.
pub(super) const BELOW: &str = "ryzed_insert_below";
/// The names of the policies that a synced table may have.
pub(super) const POLICIES: [&str; 5] = ["ryzed_select", "ryzed_insert", "ryzed_update", "ryzed_delete", "ryzed_all"];

/// Tables with their places, parents before children.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub registry: &'a Registry,
    pub layout: &'a Layout,
}

impl<'a> Placed<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a Table, &'a Place)> {
        self.registry.iter().filter_map(move |table| Some((table, self.layout.of(table.name)?)))
    }

    /// The statements that put everything up round one table, whatever stood before. They stay the same for the same adapters
    /// and the same place.
    pub(super) fn install(self, table: &Table, place: &Place) -> Vec<String> {
        let mut statements = vec![self.known(table, place)];
        statements.extend(self.triggers(table, place));
        if !table.is_external {
            let relation = place.relation();
            statements.push(format!("ALTER TABLE {relation} ENABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"));
        }
        statements.extend(self.policies(table, place));
        statements
    }

    /// The statements as one text, whose digest tells when they have changed.
    pub(super) fn made(self, table: &Table, place: &Place) -> String {
        self.install(table, place).join(";\n")
    }

    /// Notes that everything stands on these tables as it was just installed.
    pub(super) fn stamp(self, of: &[(&Table, &Place)]) -> Vec<String> {
        let stamp = |(table, place): &(&Table, &Place)| {
            format!("SELECT ryzed.stamp('{}', md5({}))", table.name, literal(&self.made(table, place)))
        };
        of.iter().map(stamp).collect()
    }

    /// The statement that registers a table in the sidecar.
    pub(super) fn known(self, table: &Table, place: &Place) -> String {
        let Ownership { rule, column, parent } = ownership(table, place);
        format!(
            "INSERT INTO ryzed.tables (table_name, relation, rule, owner_column, parent, deep) \
             VALUES ('{}', {}, '{rule}', {}, {}, {}) ON CONFLICT (table_name) DO UPDATE SET relation = excluded.relation, \
             rule = excluded.rule, owner_column = excluded.owner_column, parent = excluded.parent, deep = excluded.deep",
            table.name,
            literal(&place.relation()),
            literal(column),
            parent.map_or("NULL".into(), literal),
            literal(&deep(table, place)),
        )
    }

    /// Tables that are no longer synced are not known either.
    pub(super) fn forget_others(self) -> String {
        let names: Vec<String> = self.iter().map(|(table, _)| literal(table.name)).collect();
        format!("DELETE FROM ryzed.tables WHERE table_name <> ALL (ARRAY[{}]::text[])", names.join(", "))
    }

    /// The query for the number of rows whose person in the index differs from the table's: another person, everybody
    /// or nobody.
    pub(super) fn changing_hands(self, table: &Table, place: &Place) -> String {
        let (Ownership { rule, column, parent }, name) = (ownership(table, place), table.name);
        let column = quoted(column);
        let scope = match (rule, parent) {
            (_, Some(parent)) => format!(
                "(SELECT p.scope FROM ryzed.changes p WHERE p.table_name = '{parent}' AND p.row_id = r.{column} \
                 AND p.operation <> 'DELETE' LIMIT 1)"
            ),
            ("owner_or_global", None) => format!("coalesce('user:' || r.{column}, 'global')"),
            _ => format!("'user:' || r.{column}"),
        };
        format!(
            "SELECT count(*)::text FROM ryzed.changes c JOIN {} r ON r.id = c.row_id WHERE c.table_name = '{name}' \
             AND c.operation <> 'DELETE' AND c.scope <> 'global' AND c.scope IS DISTINCT FROM {scope}",
            place.relation()
        )
    }

    /// The policies: who may see and write which rows. People see their own rows and the catalogue; they write their
    /// own, and its keepers the catalogue. In an adopted database these hold whatever the application's own policies
    /// let people do.
    pub(super) fn policies(self, table: &Table, place: &Place) -> Vec<String> {
        let relation = place.relation();
        let (sees, writes) = (self.sees(table, place, &place.name), self.writes(table, place, &place.name));
        let mut statements = vec![format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {relation} TO ryzed_daemon")];
        let events = [
            ("SELECT", format!("USING ({sees})")),
            ("INSERT", format!("WITH CHECK ({writes})")),
            ("UPDATE", format!("USING ({writes}) WITH CHECK ({writes})")),
            ("DELETE", format!("USING ({writes})")),
        ];
        statements.extend(POLICIES.iter().map(|policy| format!("DROP POLICY IF EXISTS {policy} ON {relation}")));
        let narrows = if table.is_external { " AS RESTRICTIVE" } else { "" };
        if table.is_external {
            let all = permitted(place);
            statements.push(format!(
                "CREATE POLICY ryzed_all ON {relation} TO ryzed_daemon USING ({all}) WITH CHECK ({all})"
            ));
        }
        for (event, rule) in events {
            let policy = format!("ryzed_{}", event.to_lowercase());
            statements
                .push(format!("CREATE POLICY {policy} ON {relation}{narrows} FOR {event} TO ryzed_daemon {rule}"));
        }
        statements
    }

    /// Makes the permitting policy follow the place's note of the application's policies.
    pub(super) fn permit(self, place: &Place) -> String {
        let (relation, all) = (place.relation(), permitted(place));
        format!("ALTER POLICY ryzed_all ON {relation} USING ({all}) WITH CHECK ({all})")
    }

    /// The statements that install a table's triggers, whatever stood before.
    pub(super) fn triggers(self, table: &Table, place: &Place) -> Vec<String> {
        let relation = place.relation();
        let Ownership { rule, column, parent } = ownership(table, place);
        let arguments = format!(
            "'{rule}', {}, {}, {}, '{}', '{}'",
            literal(column),
            literal(parent.unwrap_or_default()),
            literal(&deep(table, place)),
            table.name,
            table.is_external,
        );
        let mut statements: Vec<String> =
            TRIGGERS.iter().map(|trigger| format!("DROP TRIGGER IF EXISTS {trigger} ON {relation}")).collect();
        for (event, transitions) in [
            ("INSERT", "NEW TABLE AS new_rows"),
            ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
            ("DELETE", "OLD TABLE AS old_rows"),
        ] {
            let trigger = format!("ryzed_{}", event.to_lowercase());
            statements.push(format!(
                "CREATE TRIGGER {trigger} AFTER {event} ON {relation} REFERENCING {transitions} \
                 FOR EACH STATEMENT EXECUTE FUNCTION ryzed.record({arguments})"
            ));
        }
        statements.push(format!(
            "CREATE TRIGGER ryzed_truncate BEFORE TRUNCATE ON {relation} FOR EACH STATEMENT EXECUTE FUNCTION ryzed.before_truncate()"
        ));
        statements.push(format!("ALTER TABLE {relation} ENABLE ALWAYS TRIGGER ryzed_truncate"));
        statements.push(format!(
            "CREATE TRIGGER {ROW} AFTER INSERT OR UPDATE OR DELETE ON {relation} FOR EACH ROW EXECUTE FUNCTION ryzed.record_row({arguments})"
        ));
        statements.push(format!("ALTER TABLE {relation} ENABLE REPLICA TRIGGER {ROW}"));
        if self.has_loose_children(table) {
            statements.push(format!(
                "CREATE TRIGGER {BELOW} AFTER INSERT ON {relation} REFERENCING NEW TABLE AS new_rows \
                 FOR EACH STATEMENT EXECUTE FUNCTION ryzed.bring_below('{}')",
                table.name
            ));
        }
        statements
    }

    fn has_loose_children(self, table: &Table) -> bool {
        let hangs_on_it = |child: &Table| matches!(child.scope, ScopeRule::Via { parent, .. } if parent == table.name);
        self.iter().any(|(child, place)| place.allows_orphans && hangs_on_it(child))
    }

    pub(super) fn sees(self, table: &Table, place: &Place, alias: &str) -> String {
        let own =
            |name: &str| format!("{} = (SELECT auth.uid()) OR (SELECT ryzed.is_daemon())", at(place, alias, name));
        match table.scope {
            rule @ (ScopeRule::Person | ScopeRule::Owner) => own(rule.column()),
            ScopeRule::OwnerOrGlobal => format!("{} IS NULL OR {}", at(place, alias, "user_id"), own("user_id")),
            ScopeRule::Via { column, parent } => self.above(&at(place, alias, column), alias, parent, Self::sees),
        }
    }

    pub(super) fn writes(self, table: &Table, place: &Place, alias: &str) -> String {
        let own = |name: &str| format!("{} = (SELECT auth.uid())", at(place, alias, name));
        match table.scope {
            rule @ (ScopeRule::Person | ScopeRule::Owner) => own(rule.column()),
            ScopeRule::OwnerOrGlobal => {
                let user = at(place, alias, "user_id");
                format!("{} OR ({user} IS NULL AND (SELECT ryzed.keeps_catalogue()))", own("user_id"))
            }
            ScopeRule::Via { column, parent } => self.above(&at(place, alias, column), alias, parent, Self::writes),
        }
    }

    fn above(self, column: &str, alias: &str, parent: &str, rule: fn(Self, &Table, &Place, &str) -> String) -> String {
        let up = format!("{alias}_up");
        let found = self.registry.get(parent).zip(self.layout.of(parent));
        let Some((table, place)) = found else { return "FALSE".into() };
        let rule = rule(self, table, place, &up);
        let (relation, up) = (place.relation(), quoted(&up));
        format!("EXISTS (SELECT FROM {relation} {up} WHERE {up}.id = {column} AND ({rule}))")
    }
}

/// The condition of the policy `ryzed_all`: where the application's own policies let people in, they decide for all but
/// the daemon itself and those who keep the catalogue.
fn permitted(place: &Place) -> &'static str {
    match place.permits {
        Permits::Nobody => "TRUE",
        Permits::Everybody | Permits::Authenticated => "(SELECT ryzed.is_daemon()) OR (SELECT ryzed.keeps_catalogue())",
    }
}

struct Ownership<'p> {
    rule: &'static str,
    /// As the table names it.
    column: &'p str,
    parent: Option<&'static str>,
}

fn ownership<'p>(table: &Table, place: &'p Place) -> Ownership<'p> {
    let rule = match table.scope {
        ScopeRule::Person => "person",
        ScopeRule::Owner => "owner",
        ScopeRule::OwnerOrGlobal => "owner_or_global",
        ScopeRule::Via { .. } => "via",
    };
    Ownership { rule, column: owner_column(table, place), parent: table.scope.parent() }
}

/// The column that tells whose a row is, as the table names it.
pub(super) fn owner_column<'p>(table: &Table, place: &'p Place) -> &'p str {
    place.physical(table.scope.column())
}

/// An array of the columns whose former values are kept over many versions.
fn deep(table: &Table, place: &Place) -> String {
    let summed = table.columns.iter().filter(|column| column.merge == Merge::Sum);
    let names: Vec<String> = summed.map(|column| quoted(place.physical(&column.name))).collect();
    format!("{{{}}}", names.join(","))
}

/// The column of a row that `alias` stands for.
fn at(place: &Place, alias: &str, name: &str) -> String {
    format!("{}.{}", quoted(alias), quoted(place.physical(name)))
}
