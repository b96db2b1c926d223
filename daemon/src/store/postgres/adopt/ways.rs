//! Collects what is known about each column of an application's table, from which the adapters judge which way it
//! travels, and which the report shows. Pure.

use std::collections::BTreeSet;

use ryzed_adapters::{PEOPLE, Points, Registry, ScopeRule, Sighting, Sort, Table, TableRules, Travel, any};

use super::super::layout::PlacedColumn;
use super::advice::setting;
use super::columns::{is_computed, must_be_given, sort};
use super::facts::{Facts, FoundColumn, Pointer, Relation};
use super::report::TableReport;
use super::{Naming, TableNaming};

/// The tables and columns that references may lead to.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The tables that are going to be synced: schema, name, name on the wire.
    synced: Vec<(String, String, &'static str)>,
    /// Columns that hold people's ids: schema, table, column.
    people: BTreeSet<(String, String, String)>,
}

impl Targets {
    pub(super) fn of(adapters: &Registry, facts: &Facts, naming: &Naming) -> Self {
        let mut targets = Self::default();
        for table in adapters.iter() {
            let named = naming.get(table.name).cloned().unwrap_or_else(|| TableNaming::of(table.name));
            let found = facts.relations.iter().find(|r| r.schema == named.schema && r.name == named.name);
            let Some(relation) = found.filter(|_| !named.skip) else { continue };
            targets.synced.push((named.schema.clone(), named.name.clone(), table.name));
            if table.scope.parent().is_some() {
                continue;
            }
            let owner = match table.scope.column() {
                "id" => "id",
                column => named.columns.get(column).map_or(column, String::as_str),
            };
            if table.scope == ScopeRule::Person {
                targets.people.insert((named.schema.clone(), named.name.clone(), "id".into()));
            }
            let pointers = relation.pointers.iter().filter(|pointer| pointer.column == owner);
            targets.people.extend(pointers.map(|to| (to.schema.clone(), to.name.clone(), to.there.clone())));
        }
        targets
    }

    /// The target of a column's foreign keys. One that leads out of the synced tables wins; two different targets count
    /// as askew.
    fn points(&self, relation: &Relation, column: &str) -> Points {
        let pointers = relation.pointers.iter().filter(|to| to.column == column);
        pointers.map(|to| self.point(to)).fold(Points::Nowhere, |before, next| match (before, next) {
            (Points::Nowhere, next) => next,
            (before, next) if before == next => before,
            (away @ Points::Away(_), _) | (_, away @ Points::Away(_)) => away,
            (askew @ Points::Askew(_), _) | (_, askew @ Points::Askew(_)) => askew,
            (_, Points::To(other)) => Points::Askew(other),
            (before, Points::Nowhere) => before,
        })
    }

    fn point(&self, to: &Pointer) -> Points {
        let synced = self.synced.iter().find(|(schema, name, _)| *schema == to.schema && *name == to.name);
        match synced {
            _ if self.people.contains(&(to.schema.clone(), to.name.clone(), to.there.clone())) => {
                Points::To(PEOPLE.into())
            }
            Some((_, _, table)) if to.there == "id" => Points::To((*table).into()),
            Some(_) => Points::Askew(format!("{}.{}", to.schema, to.name)),
            None => Points::Away(format!("{}.{}", to.schema, to.name)),
        }
    }
}

/// Judges the columns of a table, and reports what does not go both ways.
pub(super) fn judge(
    table: &Table,
    relation: &Relation,
    targets: &Targets,
    rules: &TableRules,
    placed: &mut [PlacedColumn],
    report: &mut TableReport,
) {
    let sightings: Vec<Sighting> = placed
        .iter()
        .filter_map(|column| Some(sighting(table, relation, targets, column, relation.column(&column.column)?)))
        .collect();
    let complaints = rules.complaints(&sightings);
    report.problems.extend(complaints.into_iter().map(|(list, what)| format!("tables.{}.{list}: {what}", table.name)));
    for (column, sighting) in placed.iter_mut().zip(&sightings) {
        column.travel = sighting.travel(rules);
        let Some(found) = relation.column(&column.column) else { continue };
        tell(table.name, sighting, &column.travel, found, report);
    }
}

fn sighting(
    table: &Table,
    relation: &Relation,
    targets: &Targets,
    column: &PlacedColumn,
    found: &FoundColumn,
) -> Sighting {
    let is_known = table.column(&column.name).is_some();
    Sighting {
        name: column.name.clone(),
        sort: sort(found),
        is_known,
        is_key: table.is_key(&column.name),
        is_of_people: table.scope == ScopeRule::Person,
        is_typed: !is_known && is_typed(table, relation, &column.name),
        is_computed: is_computed(found),
        points: targets.points(relation, &column.column),
    }
}

/// True if another column names the type of the thing that this one names: `subject_type` and `subject_id`.
fn is_typed(table: &Table, relation: &Relation, name: &str) -> bool {
    let plain = |name: &str| name.to_lowercase().replace('_', "");
    let name = plain(name);
    let Some(thing) = name.strip_suffix("id") else { return false };
    let is_its_type = |other: &FoundColumn| plain(&other.name).strip_suffix("type") == Some(thing);
    relation.columns.iter().any(|other| is_its_type(other) && table.column(&other.name).is_none())
}

fn tell(table: &str, sighting: &Sighting, travel: &Travel, found: &FoundColumn, report: &mut TableReport) {
    let name = &sighting.name;
    let reason = travel.home.as_ref().or(travel.read_only.as_ref());
    if let Some(reason) = reason {
        let kind = if sighting.sort == Sort::Unknown { format!(" ({})", found.sql_type) } else { String::new() };
        // The database alone computes it, whatever is written.
        let is_lifted = travel.home.is_some() || !sighting.is_computed;
        let lift = reason
            .lifted_by(name)
            .filter(|_| is_lifted)
            .map(|line| format!("; to change that:{}", setting(table, &line)))
            .unwrap_or_default();
        let list = if travel.home.is_some() { &mut report.home } else { &mut report.read_only };
        list.push((name.clone(), format!("{}{kind}{lift}", reason.why())));
        report.extra.retain(|(extra, _)| extra != name);
        if (must_be_given(found) || name == "id") && name != "created_at" {
            let why = if travel.home.is_some() { "stays home" } else { "is read-only" };
            report.notes.push(format!("devices can't make rows: {name} must be given and {why}"));
        }
    } else if travel.references.as_deref() == Some(PEOPLE) {
        report.notes.push(format!(
            "{name} names a person: devices may set it to their own alone; to change that:{}",
            setting(table, &any(name))
        ));
    } else if travel.references.is_none()
        && !sighting.is_known
        && !sighting.is_computed
        && looks_like_a_reference(sighting)
    {
        report.notes.push(format!("{name} may be a reference and is no foreign key: devices may set it to anything"));
    }
}

fn looks_like_a_reference(sighting: &Sighting) -> bool {
    let name = &sighting.name;
    let is_named = name.ends_with("_id") || name.ends_with("Id");
    is_named && matches!(sighting.sort, Sort::Id | Sort::Number) && sighting.points == Points::Nowhere
}
