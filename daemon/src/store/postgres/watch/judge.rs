//! Judges whether a synced table can be read and written as it is: compares the notes about what was installed with the
//! catalogue. Pure.

use std::collections::{BTreeMap, BTreeSet};

use ryzed_adapters::Registry;

use super::super::adopt::{Facts, FoundColumn, Relation, is_base, permits};
use super::super::layout::{Layout, Permits, Place, PlacedColumn};
use super::look::Stand;

/// A reason for which a table is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Trouble {
    /// In words for an operator.
    pub reason: String,
    /// The condition for serving it again.
    pub kind: Kind,
}

/// The condition for serving a table again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// Everything is put back.
    Open,
    /// Everything is put back; until then triggers book nothing, and note it when a row is written.
    Strayed,
    /// In addition the index is compared with the rows, since some may have changed unseen.
    Blind,
    /// The same; triggers are or were switched off, and nothing else is the matter.
    Off,
    /// The same; a note says so.
    Noted,
    /// The same; the database was restored from a dump, so that the notes about the catalogue are of another one.
    Restored,
}

/// Troubles by the names of the tables on the wire.
pub(in super::super) type Troubles = BTreeMap<&'static str, Vec<Trouble>>;

/// The things that are compared.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Sight<'a> {
    /// The tables as they are served, or were adopted.
    pub registry: &'a Registry,
    pub made: &'a Layout,
    /// The catalogue's facts.
    pub facts: &'a Facts,
    pub stands: &'a BTreeMap<String, Stand>,
    /// True if the tables are an application's.
    pub is_adopted: bool,
}

impl Sight<'_> {
    /// The tables with a trouble, and those whose rows hang on one of them.
    pub(in super::super) fn troubles(self) -> Troubles {
        let mut found = Troubles::new();
        for table in self.registry.iter() {
            let Some(place) = self.made.of(table.name) else { continue };
            let mut troubles = self.of(place);
            let lineage = self.stands.get(table.name).map_or(&[][..], |stand| &stand.lineage);
            if let Some(above) = lineage.iter().find(|above| found.contains_key(above.as_str()) && *above != table.name)
            {
                let strays = found[above.as_str()].iter().any(|trouble| trouble.kind == Kind::Strayed);
                let reason = format!("its rows belong to those of {above}, which is stopped");
                troubles.push(Trouble { reason, kind: if strays { Kind::Strayed } else { Kind::Open } });
            }
            if !troubles.is_empty() {
                found.insert(table.name, troubles);
            }
        }
        found
    }

    /// The obstacles to installing everything on a table as it is now: its kind, and its columns.
    pub(in super::super) fn misfits(self, place: &Place) -> Vec<Trouble> {
        let found = self.relation(place);
        let Some(found) = found else {
            let moved = self.stands.get(&place.table).and_then(called);
            let whereto = moved.map_or(String::new(), |name| format!(": it is called {name} now"));
            return vec![open(format!("there is no table {}{whereto}", place.shown()))];
        };
        let mut troubles = form(found, place);
        for column in &place.columns {
            match found.column(&column.column) {
                None => troubles.push(open(format!("it has no column {} any more", column.column))),
                Some(now) if now.base != column.base && !is_as_noted_before(column, now) => troubles.push(open(
                    format!("its column {} is {} and was {}", column.column, now.sql_type, column.sql_type),
                )),
                Some(now) if (now.is_generated || now.is_counted) && !column.read_only => {
                    troubles.push(open(format!("its column {} is computed by the database now", column.column)));
                }
                Some(_) => {}
            }
        }
        troubles
    }

    /// The trouble if table or columns are not those that were noted; none where that can't be told because the note is
    /// of another database.
    pub(in super::super) fn stranger(self, place: &Place) -> Option<Trouble> {
        let stand = self.stands.get(&place.table)?;
        if stand.is_as_made || stand.is_restored {
            return None;
        }
        let name = called(stand);
        let reason = match name {
            None => format!("{} is another table than it was, which was dropped", place.shown()),
            Some(name) if name != place.shown() => {
                format!("{} is another table than it was, which is called {name} now", place.shown())
            }
            Some(_) if stand.id.as_deref() != Some("id") => moved("id", stand.id.as_deref()),
            Some(_) if stand.owner.as_deref() != Some(&stand.owner_column) => {
                moved(&stand.owner_column, stand.owner.as_deref())
            }
            Some(_) => {
                format!("its owner, or the type of its column id or {}, is another than it was", stand.owner_column)
            }
        };
        Some(Trouble { reason, kind: Kind::Strayed })
    }

    pub(in super::super) fn relation(&self, place: &Place) -> Option<&Relation> {
        self.facts.relations.iter().find(|found| found.schema == place.schema && found.name == place.name)
    }

    /// The troubles of one table.
    pub(in super::super) fn of(self, place: &Place) -> Vec<Trouble> {
        // Once the table is gone, all else follows from it.
        let Some(found) = self.relation(place) else { return self.misfits(place) };
        let mut troubles: Vec<Trouble> = self.stranger(place).into_iter().collect();
        troubles.extend(self.misfits(place));
        // Others' values under a name that travels, of which devices were not told.
        let others = self.stands.get(&place.table).map(|stand| stand.others(place)).unwrap_or_default();
        troubles.extend(others.into_iter().map(|column| open(format!("its column {column} is another than it was"))));
        let Some(stand) = self.stands.get(&place.table) else {
            troubles.push(blind("nothing was put up round it".into()));
            return troubles;
        };
        if stand.is_restored {
            let reason = "it was restored from a dump, and rows may have come and gone since".into();
            troubles.push(Trouble { reason, kind: Kind::Restored });
        }
        troubles.extend(self.guards(found, stand, place));
        troubles.extend(stand.notes.iter().map(|note| Trouble { reason: note.clone(), kind: Kind::Noted }));
        troubles
    }

    /// Triggers, policies and rights.
    fn guards(self, found: &Relation, stand: &Stand, place: &Place) -> Vec<Trouble> {
        let (mut troubles, name) = (Vec::new(), place.shown());
        if !stand.is_restored && !stand.has_triggers {
            troubles.push(blind("triggers of ryzed are missing or others than were put up".into()));
        } else if stand.is_off {
            let reason = "triggers of ryzed are switched off, or on in another way than they were put up".into();
            troubles.push(Trouble { reason, kind: Kind::Off });
        }
        if !stand.is_restored && !stand.has_policies {
            troubles.push(open("policies of ryzed are missing or others than were put up".into()));
        }
        if stand.is_rewritten {
            troubles.push(blind(
                "its rows were written anew for another type of a column, and no device has heard of it".into(),
            ));
        }
        if found.forces_rls {
            troubles.push(blind(format!(
                "row level security binds its owner as well, so triggers do not see all rows: \
                 ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY"
            )));
        }
        if !found.has_rls && stand.had_rls {
            troubles.push(open(format!(
                "row level security is off, and was on: ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
            )));
        }
        if stand.passes_by && found.has_rls {
            troubles.push(open(
                "row level security does not bind the role ryzed_daemon: \
                ALTER ROLE ryzed_daemon NOSUPERUSER NOBYPASSRLS"
                    .into(),
            ));
        }
        if !stand.may_not.is_empty() {
            let rights = stand.may_not.join(", ");
            troubles.push(open(format!("the role ryzed_daemon may not: GRANT {rights} ON {name} TO ryzed_daemon")));
        }
        let hidden = ["id", &stand.owner_column].into_iter().find(|column| {
            let rights = found.rights.as_ref();
            rights.is_some_and(|rights| !rights.select.iter().any(|granted| granted == column))
        });
        if let Some(column) = hidden.filter(|column| found.column(column).is_some()) {
            troubles.push(open(format!(
                "the role authenticated may not read its column {column}: GRANT SELECT ({column}) ON {name} TO authenticated"
            )));
        }
        troubles.extend(self.people(found, stand, place));
        if stand.is_closed && stand.schema.as_ref() == Some(&place.schema) {
            let schema = &place.schema;
            troubles
                .push(open(format!("the schema {schema} is closed: GRANT USAGE ON SCHEMA {schema} TO ryzed_daemon")));
        }
        troubles
    }

    /// The troubles with people's access: policies or grants of the application that no longer apply; in a database of
    /// our own, foreign policies.
    fn people(self, found: &Relation, stand: &Stand, place: &Place) -> Vec<Trouble> {
        let (mut troubles, name) = (Vec::new(), place.shown());
        if !self.is_adopted {
            troubles.extend(stand.foreign.first().map(|policy| {
                open(format!(
                    "the policy \"{policy}\" is none of ryzed's and binds the role ryzed_daemon: DROP POLICY \"{policy}\" ON {name}, \
                     or write it for other roles"
                ))
            }));
            return troubles;
        }
        // Whoever drops policies does not mean the daemon's own rules by that.
        if found.has_rls && place.permits != Permits::Nobody && permits(found) == Permits::Nobody {
            troubles.push(open("no policy of the application lets people in any more".into()));
        }
        // Nor that people may do everything then.
        if place.is_granted && found.rights.is_none() {
            troubles.push(open(format!(
                "nothing is granted to the role authenticated any more: GRANT what people may ON {name} TO authenticated"
            )));
        }
        if place.permits == Permits::Authenticated && !stand.is_authenticated {
            troubles.push(open(
                "the application's policies are for the role authenticated, to which the daemon's role does not belong any more: \
                 GRANT authenticated TO ryzed_daemon"
                    .into(),
            ));
        }
        troubles
    }
}

/// Tables on which people were granted something for the first time: from then on grants decide.
pub(super) fn newly_granted(made: &Layout, now: &Layout) -> BTreeSet<String> {
    let is_new = |place: &&Place| !place.is_granted && now.of(&place.table).is_some_and(|now| now.is_granted);
    made.tables.iter().filter(is_new).map(|place| place.table.clone()).collect()
}

/// True if a column is unchanged and only its note differs: an earlier release noted a domain over a domain by the one
/// below.
fn is_as_noted_before(column: &PlacedColumn, now: &FoundColumn) -> bool {
    now.sql_type == column.sql_type && !is_base(&column.base)
}

/// The tables whose people now get in by other policies of the application than before.
pub(in super::super) fn other_permits(made: &Layout, now: &Layout) -> Vec<(String, Permits)> {
    let differs = |place: &&Place| {
        now.of(&place.table).is_some_and(|now| now.permits != place.permits && now.permits != Permits::Nobody)
    };
    let changed = made.tables.iter().filter(differs);
    changed.filter_map(|place| Some((place.table.clone(), now.of(&place.table)?.permits))).collect()
}

/// The trouble with a table's kind, if its triggers would not see all of it.
fn form(found: &Relation, place: &Place) -> Vec<Trouble> {
    let name = place.shown();
    match found.kind.as_str() {
        "r" if found.is_part => vec![blind(format!("{name} is a partition, or inherits"))],
        "r" => Vec::new(),
        "v" | "m" => vec![open(format!("{name} is a view"))],
        "f" => vec![open(format!("{name} is a foreign table"))],
        _ => vec![open(format!("{name} is partitioned"))],
    }
}

fn called(stand: &Stand) -> Option<String> {
    stand.schema.as_ref().zip(stand.name.as_ref()).map(|(schema, name)| format!("{schema}.{name}"))
}

fn moved(column: &str, now: Option<&str>) -> String {
    match now {
        Some(now) => format!("its column {column} is called {now} now"),
        None => format!("its column {column} is not the one that it was, which was dropped"),
    }
}

fn open(reason: String) -> Trouble {
    Trouble { reason, kind: Kind::Open }
}

fn blind(reason: String) -> Trouble {
    Trouble { reason, kind: Kind::Blind }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
