//! The columns that travel, noted in the database so that former values are kept of no others: every writer's triggers
//! go by that note. A column that stays home from now on has its former values erased; one that is let out again begins
//! a new epoch, since devices have rows without it.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Column, Table};
use serde::Deserialize;

use super::layout::{Place, literal};
use super::sql_text::{execute, texts};
use super::triggers::Placed;
use crate::store::StoreError;

/// The key under which it stands that former values are to be erased.
const MARK: &str = "scrub";
/// Scopes that are looked at in one transaction.
const SCOPES_AT_ONCE: i64 = 500;
/// The number of attempts at scopes that somebody is writing, and the pause before each.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The columns of one table whose former values are kept or erased, by their names in the database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Kept {
    table: String,
    /// The columns that travel.
    columns: BTreeSet<String>,
    /// The columns that stay home.
    home: BTreeSet<String>,
}

impl Kept {
    fn of(placed: Placed<'_>) -> Vec<Self> {
        let of_table = |(table, place): (&Table, &Place)| {
            let physical = |column: &Column| place.physical(&column.name).to_owned();
            Self {
                table: table.name.into(),
                columns: table.columns.iter().map(physical).collect(),
                home: table.hidden.iter().map(physical).collect(),
            }
        };
        placed.iter().map(of_table).collect()
    }
}

/// Notes which columns travel, when they are others than those that are noted. `is_new` says that no device has a copy yet.
pub(super) async fn note(
    connection: &mut AsyncPgConnection,
    placed: Placed<'_>,
    is_new: bool,
) -> Result<(), StoreError> {
    // Of daemons that start together, one notes.
    execute(connection, "BEGIN; LOCK TABLE ryzed.kept IN SHARE ROW EXCLUSIVE MODE").await?;
    let (wanted, noted) = (Kept::of(placed), noted(connection).await?);
    // The last release noted former values of every column that an application's table has.
    let is_first = noted.is_empty() && !is_new && placed.registry.iter().any(|table| table.is_external);
    let (mut sql, mut is_marked, mut starts_over) = (Vec::new(), is_first, false);
    for kept in &wanted {
        let was = noted.iter().find(|was| was.table == kept.table);
        if was.is_none() && !is_new && placed.registry.get(&kept.table).is_some_and(|table| table.is_generated) {
            sql.push(passed_over(&kept.table));
        }
        if was == Some(kept) {
            continue;
        }
        sql.push(kept.entry());
        let table = kept.table.as_str();
        let gone = kept.gone_home(was);
        if !gone.is_empty() && !is_new {
            is_marked = true;
            tracing::warn!(
                table,
                columns = gone.join(", "),
                "columns stay home from now on; `send` of the table lets them out"
            );
        }
        let out = kept.let_out(was);
        if !out.is_empty() {
            starts_over = true;
            tracing::warn!(
                table,
                columns = out.join(", "),
                "columns are let out that stayed home: every device starts over"
            );
        }
    }
    if !placed.registry.iter().any(|table| table.is_external) {
        sql.extend(no_more(&wanted, &noted));
    }
    if starts_over {
        sql.push("DELETE FROM ryzed.meta WHERE key = 'life'".into());
    }
    if is_marked {
        sql.push(format!("INSERT INTO ryzed.meta VALUES ('{MARK}', 'yes') ON CONFLICT (key) DO NOTHING"));
    }
    sql.push("COMMIT".into());
    execute(connection, &sql.join("; ")).await?;
    // Also what a start before this one did not get to.
    let mark = texts(connection, &format!("SELECT value FROM ryzed.meta WHERE key = '{MARK}'")).await?;
    if mark.is_empty() { Ok(()) } else { scrub(connection).await }
}

/// Notes that devices have passed over all that the index knows of a table: while nothing of it was noted, it was not declared.
fn passed_over(table: &str) -> String {
    let table = literal(table);
    format!(
        "INSERT INTO ryzed.passed (table_name, scope, after) SELECT DISTINCT {table}, c.scope, 0 FROM ryzed.changes c \
         WHERE c.table_name = {table} ON CONFLICT (table_name, scope) DO UPDATE SET after = 0"
    )
}

/// Forgets the notes on tables that the configuration declares no more.
fn no_more(wanted: &[Kept], noted: &[Kept]) -> Vec<String> {
    let is_gone = |was: &&Kept| wanted.iter().all(|kept| kept.table != was.table);
    let gone = noted.iter().filter(is_gone).map(|was| was.table.as_str());
    gone.map(|table| {
        tracing::warn!(table, "the configuration declares the table no more: it does not travel, and its rows stay");
        format!("DELETE FROM ryzed.kept WHERE table_name = {}", literal(table))
    })
    .collect()
}

impl Kept {
    /// The columns that stay home and did not before.
    fn gone_home(&self, was: Option<&Self>) -> Vec<&str> {
        let is_new = |name: &&String| was.is_none_or(|was| !was.home.contains(*name));
        self.home.iter().filter(is_new).map(String::as_str).collect()
    }

    /// The columns that travel and stayed home before. One that was not there is new to everybody in another way.
    fn let_out<'w>(&'w self, was: Option<&'w Self>) -> Vec<&'w str> {
        was.into_iter().flat_map(|was| was.home.intersection(&self.columns)).map(String::as_str).collect()
    }

    fn entry(&self) -> String {
        format!(
            "INSERT INTO ryzed.kept VALUES ({}, {}, {}) ON CONFLICT (table_name) DO UPDATE \
             SET columns = excluded.columns, home = excluded.home",
            literal(&self.table),
            array(&self.columns),
            array(&self.home)
        )
    }
}

fn array(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
    format!("ARRAY[{}]::text[]", names.join(", "))
}

async fn noted(connection: &mut AsyncPgConnection) -> Result<Vec<Kept>, StoreError> {
    let sql = "SELECT json_build_object('table', table_name, 'columns', columns, 'home', home)::text FROM ryzed.kept";
    let noted = texts(connection, sql).await?;
    let read = |kept: &String| serde_json::from_str(kept).map_err(|error| StoreError::Failed(error.to_string()));
    noted.iter().map(read).collect()
}

/// Erases the notes about columns that do not travel.
async fn scrub(connection: &mut AsyncPgConnection) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        let (mut after, mut busy) = (Some(String::new()), 0);
        while let Some(scope) = after {
            let call = format!(
                "SELECT json_build_array(upto, busy)::text FROM ryzed.scrub({}, {SCOPES_AT_ONCE})",
                literal(&scope)
            );
            let answer = texts(connection, &call).await?;
            let answer = answer.first().map_or("[null,0]", String::as_str);
            let (upto, left): (Option<String>, i64) =
                serde_json::from_str(answer).map_err(|error| StoreError::Failed(error.to_string()))?;
            (after, busy) = (upto, busy + left);
        }
        if busy == 0 {
            return execute(connection, &format!("DELETE FROM ryzed.meta WHERE key = '{MARK}'")).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!(
        "not all former values of columns that stay home are erased, as somebody writes all the time: the next start goes on"
    );
    Ok(())
}
