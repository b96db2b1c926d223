//! Compares the adapters with the catalogue: the tables that fit, those that do not, and what to do about them. Pure.

use std::collections::BTreeSet;

use ryzed_adapters::{Column, Registry, ScopeRule, Table, UNSAID};
use serde_json::Value;

use super::super::layout::{Layout, Place, PlacedColumn};
use super::advice::{first_the_role, server_problems, setting, toml_text};
use super::columns::{absence, described, fills_itself, mismatch, other_labels, placed_column, property, tolerates};
use super::facts::{Facts, FoundColumn, Relation};
use super::ident::ident;
use super::report::{TableReport, Verdict};
use super::ways::{self, Targets};
use super::{Naming, TableNaming, policies};

/// The result of examining a database.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// A report for each adapter, parents before children.
    pub tables: Vec<TableReport>,
    /// The reasons why the database can't be adopted, apart from its tables.
    pub problems: Vec<String>,
    /// The tables that fit.
    pub layout: Layout,
}

impl Examined {
    /// True if something stands in the way of adopting.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        !self.problems.is_empty()
            || self.layout.tables.is_empty()
            || self.tables.iter().any(|table| table.verdict == Verdict::Unfit)
    }
}

/// Compares every adapter with the database.
#[must_use]
pub fn examine(adapters: &Registry, facts: &Facts, naming: &Naming) -> Examined {
    let mut examined = Examined { tables: Vec::new(), problems: server_problems(facts), layout: Layout::default() };
    let targets = Targets::of(adapters, facts, naming);
    for table in adapters.iter() {
        let named = naming.get(table.name).cloned().unwrap_or_else(|| TableNaming::of(table.name));
        let mut examination = Examination { facts, layout: &examined.layout, targets: &targets, named: &named, table };
        let (report, place) = examination.report();
        examined.tables.push(report);
        examined.layout.tables.extend(place);
    }
    if examined.layout.is_for_authenticated() && !facts.server.may_be_authenticated {
        examined.problems.push(format!(
            "{} may not let the role ryzed_daemon belong to authenticated, for which the application's policies are; an \
             administrator runs: {}GRANT authenticated TO ryzed_daemon; GRANT ryzed_daemon TO {}",
            facts.server.user,
            first_the_role(facts.server.has_role),
            ident(&facts.server.user)
        ));
    }
    examined
}

struct Examination<'a> {
    facts: &'a Facts,
    /// The tables before this one that fit.
    layout: &'a Layout,
    targets: &'a Targets,
    named: &'a TableNaming,
    table: &'a Table,
}

impl Examination<'_> {
    fn report(&mut self) -> (TableReport, Option<Place>) {
        let mut report = TableReport {
            table: self.table.name,
            relation: format!("{}.{}", self.named.schema, self.named.name),
            rows: -1,
            ..TableReport::default()
        };
        let found = self.facts.relations.iter();
        let found = found.clone().find(|r| r.schema == self.named.schema && r.name == self.named.name);
        if self.named.skip {
            report.verdict = Verdict::Skipped;
            return (report, None);
        }
        let Some(relation) = found else {
            self.absent(&mut report);
            return (report, None);
        };
        report.rows = relation.rows;
        self.shape(relation, &mut report);
        let mut columns = self.columns(relation, &mut report);
        ways::judge(self.table, relation, self.targets, &self.named.rules, &mut columns, &mut report);
        let allows_orphans = self.owner(relation, &columns, &mut report);
        report.notes.extend(policies::notes(relation));
        report.notes.extend(policies::grants(relation));
        if !report.problems.is_empty() {
            report.verdict = Verdict::Unfit;
            return (report, None);
        }
        report.verdict = Verdict::Fits;
        let place = Place {
            table: self.table.name.into(),
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            columns,
            allows_orphans,
            permits: policies::permits(relation),
            is_granted: relation.rights.is_some(),
            rights: relation.rights.clone(),
        };
        (report, Some(place))
    }

    fn absent(&self, report: &mut TableReport) {
        // What would be refused, or can't be named, is not proposed.
        let fits = |relation: &&Relation| {
            let id = relation.column("id").is_some_and(|id| id.base == "uuid");
            let can_be_named = !relation.schema.contains('.') && !relation.name.contains('.');
            relation.kind == "r" && !relation.is_part && relation.is_ours && id && relation.has_key && can_be_named
        };
        let elsewhere = self.facts.relations.iter().filter(|r| r.name == self.table.name).filter(fits);
        report.notes.extend(elsewhere.map(|relation| {
            let name = toml_text(&relation.shown());
            let line = setting(self.table.name, &format!("relation = {name}"));
            format!("there is {}:{line}", relation.shown())
        }));
        if self.table.scope == ScopeRule::Person {
            report.notes.push(
                "no row is made when a person first calls; whoever writes has to be known to the application".into(),
            );
        }
        if report.notes.iter().any(|note| note.contains("relation =")) || self.named.is_explicit {
            report.verdict = Verdict::Unfit;
            report.problems.push(format!("there is no table {}", report.relation));
        }
    }

    /// Checks that the table can have triggers and that its rows have ids.
    fn shape(&self, relation: &Relation, report: &mut TableReport) {
        let name = relation.shown();
        let skip = format!("or leave it alone:{}", self.skipped());
        if relation.kind != "r" || relation.is_part {
            let what = match relation.kind.as_str() {
                "v" | "m" => "a view",
                "f" => "a foreign table",
                _ => "partitioned or inherits",
            };
            report.problems.push(format!("{name} is {what}; only ordinary tables can be synced, {skip}"));
        }
        if !relation.is_ours {
            report
                .problems
                .push(format!("{} does not own {name}; connect as its owner, {skip}", self.facts.server.user));
        }
        if !relation.is_reachable {
            report.problems.push(format!(
                "the schema {} is closed to the daemon's role; its owner runs: {}GRANT USAGE ON SCHEMA {} TO ryzed_daemon; {skip}",
                relation.schema,
                first_the_role(self.facts.server.has_role),
                ident(&relation.schema)
            ));
        }
        if relation.forces_rls {
            report.problems.push(format!(
                "row level security of {name} binds its owner as well, so triggers would not see all rows: \
                 ALTER TABLE {} NO FORCE ROW LEVEL SECURITY; {skip}",
                relation.sql()
            ));
        }
        if relation.rights.as_ref().is_some_and(|rights| rights.select.is_empty()) {
            report.problems.push(format!(
                "the role authenticated may not read {name}: GRANT SELECT ON {} TO authenticated; {skip}",
                relation.sql()
            ));
        }
        match relation.column("id") {
            None => report.problems.push(format!("{name} has no column id, by which rows are known; {skip}")),
            Some(id) if id.base != "uuid" => report.problems.push(format!(
                "{name}.id is {}, and rows are known by a uuid that their device makes; {skip}",
                id.sql_type
            )),
            Some(_) if !relation.has_key => {
                report.problems.push(format!("{name}.id alone is neither the primary key nor unique; {skip}"));
            }
            Some(_) => {}
        }
        for (wire, column) in &self.named.columns {
            if relation.column(column).is_none() {
                report.problems.push(format!(
                    "the configuration maps {wire} to {column}, which {name} does not have (tables.{}.columns.{wire})",
                    self.table.name
                ));
            }
        }
    }

    /// The columns that are synced: the adapter's, then the others.
    fn columns(&self, relation: &Relation, report: &mut TableReport) -> Vec<PlacedColumn> {
        let mut placed = Vec::new();
        let properties = &self.table.schema["properties"];
        let other = |column: &Column, found: &FoundColumn| other_labels(column, &properties[&column.name], found);
        for column in &self.table.columns {
            let physical = self.named.columns.get(&column.name).unwrap_or(&column.name);
            // A name that another column is mapped to is not this column's.
            let is_taken = physical == &column.name && self.named.columns.values().any(|taken| taken == physical);
            match relation.column(physical).filter(|_| !is_taken) {
                Some(found) if tolerates(column.kind, found) && other(column, found).is_none() => {
                    if physical == &column.name {
                        report.fits.push(column.name.clone());
                    } else {
                        report.mapped.push((column.name.clone(), physical.clone()));
                    }
                    placed.push(placed_column(&column.name, found, None));
                }
                Some(found) => {
                    let why = other(column, found).unwrap_or_else(|| mismatch(column, found, relation));
                    report.missing.push((column.name.clone(), why));
                }
                None => report.missing.push((column.name.clone(), absence(column))),
            }
        }
        let wire: BTreeSet<&str> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        for found in &relation.columns {
            if placed.iter().any(|column| column.column == found.name) {
                continue;
            }
            if wire.contains(found.name.as_str()) || ["_version", UNSAID].contains(&found.name.as_str()) {
                if !report.missing.iter().any(|(name, _)| *name == found.name) {
                    report
                        .notes
                        .push(format!("the column {} is not synced: its name means something else", found.name));
                }
                if !found.nullable && found.default.is_none() && !fills_itself(found) {
                    report
                        .notes
                        .push(format!("devices can't make rows: {} must be given and is not synced", found.name));
                }
                continue;
            }
            let property = self.property(found, relation);
            report.extra.push((found.name.clone(), described(found)));
            placed.push(placed_column(&found.name, found, Some(property)));
        }
        placed
    }

    fn property(&self, found: &FoundColumn, relation: &Relation) -> Value {
        let mut property = property(found);
        let target = relation.keys.iter().find(|key| key.column == found.name).and_then(|key| {
            let places = self.layout.tables.iter().map(|place| (place.table.as_str(), &place.schema, &place.name));
            let own = (self.table.name, &relation.schema, &relation.name);
            places.chain([own]).find(|(_, schema, name)| **schema == key.schema && **name == key.name)
        });
        if let Some((table, ..)) = target.filter(|(table, ..)| *table != "users" && found.base == "uuid") {
            property["x-references"] = table.into();
        }
        property
    }

    /// Finds the rule for a row's owner, or reports a problem when none is certain. True if a row may exist before the
    /// one that it hangs on.
    fn owner(&self, relation: &Relation, placed: &[PlacedColumn], report: &mut TableReport) -> bool {
        let physical = |name: &str| placed.iter().find(|column| column.name == name).map(|column| &column.column);
        match self.table.scope {
            ScopeRule::Person => report.owner = "id is the person".into(),
            ScopeRule::Owner | ScopeRule::OwnerOrGlobal => match physical("user_id") {
                Some(column) => {
                    let catalogue =
                        if self.table.scope == ScopeRule::OwnerOrGlobal { "the catalogue" } else { "not synced" };
                    report.owner = format!("{column}; null is {catalogue}");
                }
                None => report
                    .problems
                    .push(self.ask(relation, "user_id", |key| key.name == "users" || key.name == "profiles")),
            },
            ScopeRule::Via { column, parent } => {
                let Some(above) = self.layout.of(parent) else {
                    report.problems.push(format!(
                        "its rows belong to those of {parent}, which is not synced. Say where that is (relation, in the section \
                         tables.{parent}), or leave this alone as well:{}",
                        self.skipped()
                    ));
                    return false;
                };
                match physical(column) {
                    Some(found) => {
                        report.owner = format!("that of the row of {} in {found}", above.shown());
                        return !is_held(relation, found, above, report);
                    }
                    None => report
                        .problems
                        .push(self.ask(relation, column, |key| key.schema == above.schema && key.name == above.name)),
                }
            }
        }
        false
    }

    /// The line of the configuration that would say what can't be known.
    fn ask(&self, relation: &Relation, wire: &str, fits: impl Fn(&super::facts::ForeignKey) -> bool) -> String {
        const USUAL: [&str; 9] =
            ["created_by", "owner_id", "owner", "author_id", "profile_id", "account_id", "member_id", "uid", "user"];
        let uuids = relation.columns.iter().filter(|column| column.base == "uuid" && column.name != "id");
        let (likely, other): (Vec<&str>, Vec<&str>) = uuids.map(|column| column.name.as_str()).partition(|name| {
            relation.keys.iter().any(|key| key.column == *name && fits(key))
                || (wire == "user_id" && USUAL.contains(name))
        });
        let what = if wire == "user_id" { "says whose a row is".to_owned() } else { format!("is {wire}") };
        let names = if likely.is_empty() { &other } else { &likely };
        // It is there, and is no such thing.
        let named = self.named.columns.get(wire).map_or(wire, String::as_str);
        if let Some(column) = relation.column(named).filter(|column| column.base != "uuid") {
            return format!(
                "{}.{named} {what}, and is {}: people and rows are known by a uuid; leave it alone:{}",
                relation.shown(),
                column.sql_type,
                self.skipped()
            );
        }
        let Some(first) = names.first() else {
            return format!("no column of {} {what}; leave it alone:{}", relation.shown(), self.skipped());
        };
        format!(
            "no column of {} {what} by its name. Leave it alone (skip = true), or perhaps {}:{}",
            relation.shown(),
            names.join(" or "),
            setting(self.table.name, &format!("columns = {{ {wire} = {} }}", toml_text(first)))
        )
    }

    /// The lines of configuration that leave the table alone.
    fn skipped(&self) -> String {
        setting(self.table.name, "skip = true")
    }
}

/// True if a foreign key makes sure that the row above exists first.
fn is_held(relation: &Relation, column: &str, above: &Place, report: &mut TableReport) -> bool {
    let mut keys = relation.keys.iter();
    let key = keys.find(|key| key.column == column && key.schema == above.schema && key.name == above.name);
    if key.is_none() {
        report.notes.push(format!(
            "{column} is no foreign key: a row whose {} is missing is nobody's until that comes, and one whose {} is deleted stays",
            above.shown(),
            above.shown(),
        ));
    }
    key.is_some_and(|key| key.is_enforced_immediately)
}

#[cfg(test)]
#[path = "examine_tests.rs"]
mod tests;
