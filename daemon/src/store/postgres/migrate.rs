//! The schema: plain SQL migrations, then the functions, then the triggers and policies of the synced tables, which follow the
//! adapters.

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel_async::{AnsiTransactionManager, AsyncMigrationHarness, AsyncPgConnection, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::fit::must_fit;
use super::functions;
use super::server::connect;
use super::sql_text::{execute, texts};
use crate::store::StoreError;
use crate::store::releases::{MigrationState, known_only};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations/postgres");

/// The migrations of the schema `ryzed` end with this; all others are of the synced tables, and an adopted database has
/// tables of its own.
const OF_SIDECAR: &str = "_sync";

/// The last migration that brings functions of its own. Those after it bring tables and data alone.
const LAST_WITH_FUNCTIONS: &str = "0019";

/// The migrations that a database gets: all, or those of the schema `ryzed` alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migrations {
    pub is_adopted: bool,
}

/// The migrations that bring functions of their own, out of those that a database gets.
struct WithFunctions(Migrations);

impl MigrationSource<Pg> for WithFunctions {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let mut migrations = self.0.migrations()?;
        migrations.retain(|migration| migration.name().version().to_string().as_str() <= LAST_WITH_FUNCTIONS);
        Ok(migrations)
    }
}

impl MigrationSource<Pg> for Migrations {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let mut migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS)?;
        migrations.retain(|migration| !self.is_adopted || migration.name().to_string().ends_with(OF_SIDECAR));
        Ok(migrations)
    }
}

/// Every migration, in order, and then the functions, with their state in the database. Changes nothing.
///
/// # Errors
/// When the database can't be read, or is of a later release.
pub async fn migration_states(url: &str) -> Result<Vec<MigrationState>, StoreError> {
    must_fit(url).await?;
    let mut connection = open(url).await?;
    let is_adopted = is_adopted(&mut connection).await?;
    let applied = applied(&mut connection).await?;
    let known = known(Migrations { is_adopted })?;
    let mut states: Vec<MigrationState> =
        known.into_iter().map(|name| MigrationState { applied: applied.contains(&name), name }).collect();
    let applied = states.iter().all(|state| state.applied) && functions::are_new_enough(&mut connection).await?;
    states.push(MigrationState { applied, name: functions::NAME.into() });
    Ok(states)
}

/// True if the database has anything of ours.
///
/// # Errors
/// When it can't be read.
pub async fn is_begun(url: &str) -> Result<bool, StoreError> {
    must_fit(url).await?;
    let mut connection = open(url).await?;
    Ok(!texts(&mut connection, "SELECT 'yes' WHERE to_regclass('ryzed.meta') IS NOT NULL").await?.is_empty())
}

/// The names of these migrations, in order.
pub(super) fn known(migrations: Migrations) -> Result<Vec<String>, StoreError> {
    let known = migrations.migrations().map_err(failed)?;
    let mut names: Vec<String> = known.iter().map(|migration| migration.name().to_string()).collect();
    names.sort();
    Ok(names)
}

/// The names of the migrations that the database has, none of which may be unknown.
pub(super) async fn applied(connection: &mut AsyncPgConnection) -> Result<Vec<String>, StoreError> {
    let is_there = "SELECT 'yes' WHERE to_regclass('ryzed.__diesel_schema_migrations') IS NOT NULL";
    if texts(connection, is_there).await?.is_empty() {
        return Ok(Vec::new());
    }
    let versions = texts(connection, "SELECT version::text FROM ryzed.__diesel_schema_migrations ORDER BY 1").await?;
    let known = known(Migrations { is_adopted: false })?;
    let version_of = |name: &str| name.split('_').next().unwrap_or_default().to_owned();
    let named = |version: String| known.iter().find(|name| version_of(name) == version).cloned().unwrap_or(version);
    let applied: Vec<String> = versions.into_iter().map(named).collect();
    known_only(&applied, &known)?;
    Ok(applied)
}

/// Applies what is missing of these migrations, and installs the functions. What a function does and the tables that it needs
/// change in one transaction. The caller has the lock.
pub(super) async fn migrated(
    mut connection: AsyncPgConnection,
    migrations: Migrations,
) -> Result<AsyncPgConnection, StoreError> {
    execute(&mut connection, "CREATE SCHEMA IF NOT EXISTS ryzed; SET search_path = ryzed, public").await?;
    let mut connection = applied_in_order(connection, WithFunctions(migrations)).await?;
    AnsiTransactionManager::begin_transaction(&mut connection).await.map_err(failed)?;
    let mut connection = applied_in_order(connection, migrations).await?;
    functions::install(&mut connection).await?;
    AnsiTransactionManager::commit_transaction(&mut connection).await.map_err(failed)?;
    execute(&mut connection, "RESET search_path").await?;
    Ok(connection)
}

async fn applied_in_order(
    connection: AsyncPgConnection,
    migrations: impl MigrationSource<Pg> + Send + 'static,
) -> Result<AsyncPgConnection, StoreError> {
    let migrated = tokio::task::spawn_blocking(move || {
        // The harness blocks, and tells its connection's runtime so; a runtime of its own would not drive the connection.
        let mut harness = AsyncMigrationHarness::new(connection);
        let done = harness.run_pending_migrations(migrations).map(|_| ()).map_err(failed);
        done.map(|()| harness.into_inner())
    });
    migrated.await.map_err(failed)?
}

/// True if the tables of this database existed before the daemon.
pub(super) async fn is_adopted(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    let found = texts(connection, "SELECT 'yes' WHERE to_regclass('ryzed.adopted') IS NOT NULL").await?;
    Ok(!found.is_empty())
}

pub(super) async fn open(url: &str) -> Result<AsyncPgConnection, StoreError> {
    connect(url).await.map_err(|error| StoreError::Unavailable(format!("can't connect to the database: {error}")))
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("migration: {error}"))
}
