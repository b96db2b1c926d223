//! The schema: plain SQL migrations, then the triggers, which follow the adapters.

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use diesel::{RunQueryDsl, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::path::Path;

use super::{Schema, triggers};
use crate::store::statement::statement;
use crate::store::{MigrationState, StoreError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");

/// Every migration, in order, with its state in the database at `path`. Changes nothing, makes no file.
///
/// # Errors
/// When the database can't be read.
pub fn migration_states(path: &Path) -> Result<Vec<MigrationState>, StoreError> {
    let known = MigrationSource::<Sqlite>::migrations(&MIGRATIONS).map_err(failed)?;
    let pending: Vec<String> = if path.exists() {
        let mut connection = super::connect(path, true)?;
        let pending = connection.pending_migrations(MIGRATIONS).map_err(failed)?;
        pending.iter().map(|migration| migration.name().to_string()).collect()
    } else {
        known.iter().map(|migration| migration.name().to_string()).collect()
    };
    let state = |name: String| MigrationState { applied: !pending.contains(&name), name };
    let mut states: Vec<_> = known.iter().map(|migration| state(migration.name().to_string())).collect();
    states.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(states)
}

/// Applies what is missing and puts up the triggers when the adapters ask for others than there are.
pub(super) fn up_to_date(connection: &mut SqliteConnection, schema: &Schema) -> Result<(), StoreError> {
    connection.run_pending_migrations(MIGRATIONS).map_err(failed)?;
    let wanted = triggers::all(&schema.registry);
    connection.immediate_transaction(|connection| {
        if standing(connection)? == sorted(&wanted) {
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

/// Takes the generated triggers down; the transaction that does so puts them up again.
pub(super) fn take_triggers_down(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    for name in names(connection)? {
        connection.batch_execute(&format!("DROP TRIGGER {name}"))?;
    }
    Ok(())
}

/// The generated triggers that stand, as SQL text; SQLite keeps it as it was written.
fn standing(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    Ok(statement::<Text>("SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name <> 'sync_record' AND name LIKE 'sync\\_%' ESCAPE '\\' ORDER BY sql").load(connection)?)
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
