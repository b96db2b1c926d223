//! Renews, at a start, what is installed on the tables: triggers and policies of another release are replaced, and the
//! index is compared with the tables where it may be wrong. Only where that is safe: a table that is not the one that
//! it was, or that does not fit, is left as it is and stopped.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Registry, Table};

use super::adopt::{self, AdoptError, Facts, Naming, Watch};
use super::functions;
use super::generated;
use super::layout::{Layout, Place, literal};
use super::migrate::{Migrations, applied, is_adopted, known, migrated, open};
use super::sql_text::execute;
use super::triggers::Placed;
use super::turn;
use super::watch::{EVER, Kind, Sight, Stand, stands};
use crate::store::compare::COMPARED;
use crate::store::releases::up_to_date_only;
use crate::store::{Stay, StoreError};

/// The tables, and by which names they are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    /// Every table that there could be.
    pub adapters: &'a Registry,
    /// The tables that exist, as they were adopted or are made.
    pub placed: Placed<'a>,
    /// The configuration's names of the tables.
    pub naming: &'a Naming,
    /// True if they are an application's.
    pub is_adopted: bool,
}

/// The plan of a start.
#[derive(Debug, Default)]
struct Plan<'a> {
    /// The tables on which everything is installed anew.
    install: Vec<(&'a Table, &'a Place)>,
    /// The tables whose index is compared with their rows.
    mend: BTreeMap<&'static str, adopt::Backfill>,
    /// Tables that are left as they are.
    left: BTreeSet<&'static str>,
}

impl<'a> Ground<'a> {
    pub(super) async fn facts(self, connection: &mut AsyncPgConnection) -> Result<Facts, StoreError> {
        adopt::facts(connection, self.adapters.iter().map(|table| table.name), self.naming).await
    }

    pub(super) fn sight(self, facts: &'a Facts, stands: &'a BTreeMap<String, Stand>) -> Sight<'a> {
        let Placed { registry, layout } = self.placed;
        Sight { registry, made: layout, facts, stands, is_adopted: self.is_adopted }
    }
}

/// Applies what is missing and puts up triggers and policies where others stand than this release puts up. Daemons that start
/// together wait for the first. A visitor changes nothing.
pub(super) async fn up_to_date(url: &str, ground: Ground<'_>, stay: Stay) -> Result<AsyncPgConnection, StoreError> {
    let mut connection = open(url).await?;
    execute(&mut connection, "SET statement_timeout = 0; SET client_min_messages = error; SET ryzed.device = '*'")
        .await?;
    if stay == Stay::Visitor {
        let has = applied(&mut connection).await?;
        let is_adopted = is_adopted(&mut connection).await?;
        let mut pending: Vec<String> =
            known(Migrations { is_adopted })?.into_iter().filter(|name| !has.contains(name)).collect();
        if pending.is_empty() && !functions::are_new_enough(&mut connection).await? {
            pending.push(functions::NAME.into());
        }
        up_to_date_only(&pending)?;
        if !is_adopted {
            generated::must_be_made(&mut connection, ground.adapters).await?;
        }
        execute(&mut connection, "RESET ryzed.device").await?;
        return Ok(connection);
    }
    turn::take(&mut connection).await?;
    let is_adopted = is_adopted(&mut connection).await?;
    let mut connection = migrated(connection, Migrations { is_adopted }).await?;
    if !is_adopted {
        generated::make(&mut connection, ground.adapters).await?;
    }
    let mut connection = renew(connection, ground).await?;
    execute(&mut connection, "RESET ryzed.device").await?;
    turn::leave(&mut connection).await?;
    Ok(connection)
}

/// Brings what stands round the tables up to date. The caller has the lock that lets one of several daemons do so.
async fn renew(mut connection: AsyncPgConnection, ground: Ground<'_>) -> Result<AsyncPgConnection, StoreError> {
    let facts = ground.facts(&mut connection).await?;
    let found = stands(&mut connection, ground.placed).await?;
    let sight = ground.sight(&facts, &found);
    let widened = generated::widened(&mut connection, ground.adapters).await?;
    let plan = plan(&mut connection, ground, sight, &widened).await?;
    if plan.install.is_empty() {
        return Ok(connection);
    }
    let names: Vec<&str> = plan.install.iter().map(|(table, _)| table.name).collect();
    tracing::info!(tables = names.join(" "), "triggers and policies of these tables are installed anew");
    if ground.is_adopted {
        let renewed = adopt::renew(connection, ground.placed, &plan.install, &plan.mend, &mut RenewalLog).await;
        return renewed.map_err(|error| match error {
            AdoptError::Refused(message) => StoreError::Failed(message),
            AdoptError::Store(error) => error,
        });
    }
    // A table that is not known here stays known: another instance, or the next start, may have it declared.
    let mut sql = Vec::new();
    sql.extend(plan.install.iter().flat_map(|(table, place)| ground.placed.install(table, place)));
    sql.extend(ground.placed.stamp(&plan.install));
    sql.extend(plan.install.iter().filter_map(|(table, _)| {
        let adopt::Backfill { anew, since } = plan.mend.get(table.name)?;
        let since = since.map_or("NULL".to_owned(), literal);
        Some(format!("SELECT ryzed.mend('{}', {anew}, {since})", table.name))
    }));
    execute(&mut connection, &format!("BEGIN; {}; COMMIT", sql.join(";\n"))).await?;
    Ok(connection)
}

async fn plan<'a>(
    connection: &mut AsyncPgConnection,
    ground: Ground<'a>,
    sight: Sight<'a>,
    widened: &BTreeSet<&str>,
) -> Result<Plan<'a>, StoreError> {
    let mut plan = Plan::default();
    for (table, place) in ground.placed.iter() {
        let above = table.scope.parent();
        let is_left = above.is_some_and(|parent| plan.left.contains(parent)) || !fits(sight, place);
        let Some(stand) = sight.stands.get(table.name).filter(|_| !is_left) else {
            if is_left {
                plan.left.insert(table.name);
            } else {
                plan.install.push((table, place));
                plan.mend.insert(table.name, adopt::Backfill::default());
            }
            continue;
        };
        let is_other = stand.is_restored || sight.stranger(place).is_some();
        if is_other && adopt::hands(connection, ground.placed, table, place).await? > 0 {
            plan.left.insert(table.name);
            continue;
        }
        let since = unseen(stand, is_other && !stand.is_restored);
        let anew = !stand.others(place).is_empty() || widened.contains(table.name);
        let mends =
            is_other || anew || since.is_some() || !stand.is_made || stand.is_entering || !stand.notes.is_empty();
        if mends || stands_open(sight, stand, place) {
            plan.install.push((table, place));
        }
        // Rows follow those that they hang on.
        if mends || above.is_some_and(|parent| plan.mend.contains_key(parent)) {
            plan.mend.insert(table.name, adopt::Backfill { anew, since });
        }
    }
    // What is mended is also put up: the index is to tell the truth from then on.
    let mended = ground.placed.iter().filter(|(table, _)| plan.mend.contains_key(table.name));
    let missing: Vec<_> =
        mended.filter(|(table, _)| !plan.install.iter().any(|(other, _)| other.name == table.name)).collect();
    plan.install.extend(missing);
    plan.install.sort_by_key(|(table, _)| ground.placed.registry.rank(table.name));
    Ok(plan)
}

/// True if everything can be installed on a table as it is now. In a database of our own, everything may be installed
/// again whatever has become of it; on an application's tables it is only brought to another release, or another
/// database.
fn fits(sight: Sight<'_>, place: &Place) -> bool {
    if !sight.is_adopted {
        return sight.misfits(place).is_empty();
    }
    let troubles = sight.of(place);
    let is_restored = troubles.iter().any(|trouble| trouble.kind == Kind::Restored);
    troubles.iter().all(|trouble| is_restored && matches!(trouble.kind, Kind::Restored | Kind::Noted))
}

/// Since when rows may have come and gone unseen; none when they can't have, or notes say it better.
fn unseen(stand: &Stand, is_another: bool) -> Option<&'static str> {
    let is_blind = is_another || (!stand.is_restored && (!stand.has_triggers || stand.is_off || stand.is_rewritten));
    (is_blind && stand.notes.is_empty()).then_some(EVER)
}

/// True if, in a database of our own, policies are missing or row level security is not as it was installed.
fn stands_open(sight: Sight<'_>, stand: &Stand, place: &Place) -> bool {
    let guard = sight.relation(place).is_some_and(|found| !found.has_rls || found.forces_rls);
    !sight.is_adopted && (!stand.has_policies || guard)
}

/// Who is told of the progress at a start: the log.
struct RenewalLog;

impl Watch for RenewalLog {
    fn step(&mut self, what: &str) {
        tracing::info!("{what}");
    }

    fn entered(&mut self, table: &str, rows: u64, of: u64) {
        if rows == of {
            tracing::info!(table, rows, "{COMPARED}");
        }
    }
}

/// The layout of a database that was adopted, as it is served: the columns that were adopted, as they are now. Other columns are
/// left until it is adopted again; of a table that does not fit any more, all is as it was.
pub(super) fn served(adopted: &Layout, now: &Layout) -> Layout {
    let place = |was: &Place| {
        let Some(is) = now.of(&was.table).filter(|is| is.shown() == was.shown()) else { return was.clone() };
        let columns = was.columns.iter().filter_map(|column| {
            is.columns.iter().find(|other| other.name == column.name && other.column == column.column).cloned()
        });
        Place { columns: columns.collect(), rights: is.rights.clone(), ..was.clone() }
    };
    Layout { tables: adopted.tables.iter().map(place).collect() }
}
