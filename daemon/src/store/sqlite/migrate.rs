//! The schema: plain SQL migrations, then the tables that the configuration declares, then the triggers, which follow the tables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel::{RunQueryDsl, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use ryzed_adapters::Table;

use super::{Schema, epoch, generated, guard, sums, triggers};
use crate::store::StoreError;
use crate::store::releases::{MigrationState, known_only, up_to_date_only};
use crate::store::statement::statement;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");

/// Every migration, in order, with its state in the database at `path`. Changes nothing, makes no file.
///
/// # Errors
/// When the database can't be read, or is of a later release.
pub fn migration_states(path: &Path) -> Result<Vec<MigrationState>, StoreError> {
    let known = known()?;
    let applied = if path.exists() { applied(&mut super::connect(path, true)?, &known)? } else { Vec::new() };
    Ok(known.into_iter().map(|name| MigrationState { applied: applied.contains(&name), name }).collect())
}

/// Refuses a database that is not as this release has it.
pub(super) fn must_be_up_to_date(connection: &mut SqliteConnection, schema: &Schema) -> Result<(), StoreError> {
    let known = known()?;
    let applied = applied(connection, &known)?;
    let pending: Vec<String> = known.into_iter().filter(|name| !applied.contains(name)).collect();
    up_to_date_only(&pending)?;
    generated::must_be_made(connection, &schema.registry)
}

/// The names of all migrations, in order.
fn known() -> Result<Vec<String>, StoreError> {
    let known = MigrationSource::<Sqlite>::migrations(&MIGRATIONS).map_err(failed)?;
    let mut names: Vec<String> = known.iter().map(|migration| migration.name().to_string()).collect();
    names.sort();
    Ok(names)
}

/// The names of those that the database has, none of which may be unknown.
fn applied(connection: &mut SqliteConnection, known: &[String]) -> Result<Vec<String>, StoreError> {
    let is_there = "SELECT name FROM sqlite_schema WHERE name = '__diesel_schema_migrations'";
    if statement::<Text>(is_there).load::<String>(connection)?.is_empty() {
        return Ok(Vec::new());
    }
    let versions: Vec<String> =
        statement::<Text>("SELECT version FROM __diesel_schema_migrations ORDER BY version").load(connection)?;
    let version_of = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    let named = |version: String| known.iter().find(|name| version_of(name) == version).cloned().unwrap_or(version);
    let applied: Vec<String> = versions.into_iter().map(named).collect();
    known_only(&applied, known)?;
    Ok(applied)
}

/// Applies missing migrations, makes the tables that are declared, and installs the triggers when the tables ask for others than
/// there are.
pub(super) fn up_to_date(connection: &mut SqliteConnection, schema: &Schema) -> Result<(), StoreError> {
    applied(connection, &known()?)?;
    connection.run_pending_migrations(MIGRATIONS).map_err(failed)?;
    let wanted = triggers::all(&schema.registry);
    connection.immediate_transaction(|connection| {
        generated::make(connection, &schema.registry)?;
        note_home(connection, schema)?;
        generated::note(connection, &schema.registry)?;
        let standing = guard::generated_triggers(connection)?;
        for table in guard::tampered(connection, &schema.registry, &standing)? {
            tracing::warn!(table, "triggers of ryzed were missing; its rows are compared with the index");
            guard::note_blind(connection, &table)?;
        }
        guard::note_installed(connection, &wanted)?;
        sums::stand(connection)?;
        if standing == sorted(&wanted) {
            return Ok(());
        }
        take_triggers_down(connection)?;
        for trigger in &wanted {
            connection.batch_execute(trigger)?;
        }
        for table in &schema.tables {
            statement::<()>(&table.backfill).execute(connection)?;
        }
        Ok(())
    })
}

/// The columns that stay home, table by table.
type Home = BTreeMap<String, BTreeSet<String>>;

/// Notes which columns stay home. Of one that does so from now on former values are erased; one that is let out again begins a
/// new epoch, since devices have rows without it.
fn note_home(connection: &mut SqliteConnection, schema: &Schema) -> Result<(), StoreError> {
    const KEY: &str = "home";
    let hidden = |table: &Table| table.hidden.iter().map(|column| column.name.clone()).collect::<BTreeSet<_>>();
    let tables = schema.registry.iter().map(|table| (table.name.to_owned(), hidden(table)));
    let now: Home = tables.filter(|(_, columns)| !columns.is_empty()).collect();
    let noted = epoch::get(connection, KEY)?.unwrap_or_default();
    let before: Home = serde_json::from_str(&noted).unwrap_or_default();
    if now == before {
        return Ok(());
    }
    let none = BTreeSet::new();
    for (table, columns) in &now {
        for column in columns.difference(before.get(table).unwrap_or(&none)) {
            tracing::warn!(table, column, "the column stays home from now on");
            statement::<()>(
                "UPDATE sync_changes SET previous = json_remove(previous, ?2), field_versions = json_remove(field_versions, ?2) \
                 WHERE table_name = ?1 AND (json_type(previous, ?2) IS NOT NULL OR json_type(field_versions, ?2) IS NOT NULL)",
            )
            .text(table)
            .text(format!("$.{column}"))
            .execute(connection)?;
        }
    }
    let is_let_out = |(table, columns): (&String, &BTreeSet<String>)| {
        let is_known = schema.registry.get(table).is_some();
        is_known && columns.difference(now.get(table).unwrap_or(&none)).next().is_some()
    };
    if before.iter().any(is_let_out) {
        tracing::warn!("columns are let out that stayed home: every device starts over");
        epoch::forget(connection, "epoch")?;
    }
    let now = serde_json::to_string(&now).map_err(failed)?;
    epoch::set(connection, KEY, &now)
}

/// Takes the generated triggers down; the transaction that does so puts them up again.
pub(super) fn take_triggers_down(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    for name in names(connection)? {
        connection.batch_execute(&format!("DROP TRIGGER {name}"))?;
    }
    Ok(())
}

fn names(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    Ok(statement::<Text>("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name <> 'sync_record' AND name LIKE 'sync\\_%' ESCAPE '\\'").load(connection)?)
}

fn sorted(triggers: &[String]) -> Vec<String> {
    let mut sorted = triggers.to_vec();
    sorted.sort();
    sorted
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("migration: {error}"))
}
