//! Compares an adopted database with the adoption that it should have, and plans what adopting once more has to do.

use std::collections::{BTreeMap, BTreeSet};

use diesel_async::AsyncPgConnection;
use ryzed_adapters::Table;

use super::super::layout::{Layout, Place};
use super::super::sql_text::texts;
use super::super::triggers::{Placed, owner_column};
use super::super::watch::{EVER, Stand, stands};
use super::advice::{setting, toml_text};
use super::{AdoptError, Backfill, Examined, Verdict};
use crate::store::StoreError;

/// The plan.
#[derive(Debug)]
pub(super) struct Again {
    /// True if everything stands as this release installs it.
    pub stands: bool,
    /// The tables whose rows are entered, or compared with the index.
    pub enter: BTreeMap<&'static str, Backfill>,
}

/// Looks at what stands. `accepted` tables may have other owners than before.
pub(super) async fn again(
    connection: &mut AsyncPgConnection,
    placed: Placed<'_>,
    before: Option<&Layout>,
    accepted: &BTreeSet<String>,
) -> Result<Again, AdoptError> {
    let found = stands(connection, placed).await?;
    let (mut plan, mut refused) = (Again { stands: true, enter: BTreeMap::new() }, Vec::new());
    for (table, place) in placed.iter() {
        let (old, stand) = (before.and_then(|before| before.of(table.name)), found.get(table.name));
        let (Some(old), Some(stand)) = (old, stand) else {
            plan.stands = false;
            plan.enter.insert(table.name, Backfill::default());
            continue;
        };
        let is_another = !stand.continues && !stand.is_restored;
        if !stand.continues && !accepted.contains(table.name) {
            let count = hands(connection, placed, table, place).await?;
            refused.extend((count > 0).then(|| refusal(table, place, stand, count)));
        }
        let is_blind = is_another || !stand.is_restored && (!stand.has_triggers || stand.is_off || stand.is_rewritten);
        let since = (is_blind && stand.notes.is_empty()).then_some(EVER);
        let anew = place.has_other_columns(old) || !stand.others(place).is_empty();
        plan.stands &= stand.is_made && stand.is_as_made && stand.has_policies && !is_blind;
        plan.stands &= old.shown() == place.shown() && old.allows_orphans == place.allows_orphans && !anew;
        plan.stands &= old.is_granted == place.is_granted;
        let follows = table.scope.parent().is_some_and(|parent| plan.enter.contains_key(parent));
        if is_blind || anew || follows || stand.is_restored || !stand.is_made || !stand.notes.is_empty() {
            plan.enter.insert(table.name, Backfill { anew, since });
        }
    }
    plan.stands &= plan.enter.is_empty();
    if refused.is_empty() { Ok(plan) } else { Err(AdoptError::Refused(refused.join("\n"))) }
}

/// The number of rows that are somebody's and would be another's, everybody's or nobody's, by what the table says now.
pub(in crate::store::postgres) async fn hands(
    connection: &mut AsyncPgConnection,
    placed: Placed<'_>,
    table: &Table,
    place: &Place,
) -> Result<u64, StoreError> {
    let counts = texts(connection, &placed.changing_hands(table, place)).await?;
    Ok(counts.first().and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// Why rows are not entered that would change hands.
fn refusal(table: &Table, place: &Place, stand: &Stand, count: u64) -> String {
    let (name, owner) = (place.shown(), owner_column(table, place));
    let former = stand.schema.as_ref().zip(stand.name.as_ref()).map(|(schema, name)| format!("{schema}.{name}"));
    let wire = table.scope.column();
    let why = match (former, &stand.owner) {
        (Some(former), _) if former != name => {
            let line = setting(table.name, &format!("relation = {}", toml_text(&former)));
            format!("it is not the table that was adopted, which is called {former} now:{line}")
        }
        (Some(_), Some(now)) if now != owner => format!(
            "its column {owner} is not the one that told whose they are, which is called {now} now:{}",
            setting(table.name, &format!("columns = {{ {wire} = {} }}", toml_text(now)))
        ),
        _ => format!("the table, or its column {owner}, is another than the one that was adopted"),
    };
    format!(
        "{count} rows of {name} that belong to people would be others', or everybody's. If it is right as it is: \
         ryzed adopt --accept {}. Else see to it that it is the right one: {why}",
        table.name
    )
}

/// Adds the notes of stopped tables to their reports: adopting again mends them.
pub(super) async fn tell_stopped(
    connection: &mut AsyncPgConnection,
    examined: &mut Examined,
) -> Result<(), StoreError> {
    // An earlier release has no such notes.
    let is_there = texts(connection, "SELECT 'yes' WHERE to_regclass('ryzed.stopped') IS NOT NULL").await?;
    if is_there.is_empty() {
        return Ok(());
    }
    let notes = texts(connection, "SELECT DISTINCT table_name || ' ' || reason FROM ryzed.stopped ORDER BY 1").await?;
    for (table, reason) in notes.iter().filter_map(|line| line.split_once(' ')) {
        let report = examined.tables.iter_mut().find(|report| report.table == table);
        report.into_iter().for_each(|report| report.notes.push(format!("stopped: {reason}")));
    }
    Ok(())
}

/// Marks tables that are synced and no longer exist, or are no tables any more: the person who adopts again has to say
/// what becomes of them.
pub(super) async fn mark_missing(
    connection: &mut AsyncPgConnection,
    before: &Layout,
    examined: &mut Examined,
) -> Result<(), StoreError> {
    let names = "SELECT t.table_name || ' ' || n.nspname || '.' || c.relname FROM ryzed.tables t \
        JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace";
    let called = texts(connection, names).await?;
    let called: BTreeMap<&str, &str> = called.iter().filter_map(|line| line.split_once(' ')).collect();
    for report in &mut examined.tables {
        let Some(old) = before.of(report.table) else { continue };
        if matches!(report.verdict, Verdict::Fits | Verdict::Skipped) {
            continue;
        }
        let now = called.get(report.table).filter(|now| **now != report.relation);
        let line = |now: &str| setting(report.table, &format!("relation = {}", toml_text(now)));
        let now = now.map(|now| format!("it is called {now} now:{}\n          ", line(now)));
        if report.verdict == Verdict::Absent || now.is_some() {
            report.problems.push(format!(
                "{} is synced, and {} or leave it alone from now on:{}",
                old.shown(),
                now.unwrap_or_else(|| format!("there is no table {}; make it,", report.relation)),
                setting(report.table, "skip = true")
            ));
        }
        report.verdict = Verdict::Unfit;
    }
    Ok(())
}
