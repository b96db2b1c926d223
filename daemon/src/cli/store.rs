//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;

use anyhow::Context;
use ryzed_adapters::Registry;

use super::Failure;
use crate::config::{Config, Synchronous};
use crate::store::archive::{Dump, Restore};
use crate::store::{OnOutsideWrite, Store, StoreError, postgres, sqlite};
use crate::transfer::TransferError;

/// Whose the database is while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// The daemon's.
    Resident,
    /// A command's, which works beside the daemon.
    Visitor,
}

/// Opens the database and brings its schema up to date. Blocks while a file is opened.
pub(super) async fn open(
    config: &Config,
    registry: &Arc<Registry>,
    stay: Stay,
    outside: OnOutsideWrite,
) -> anyhow::Result<Arc<dyn Store>> {
    if let Some(url) = config.database_server() {
        let settings = postgres::Settings {
            url: url.to_owned(),
            connections: config.database.connections,
            resident: stay == Stay::Resident,
        };
        let opened = postgres::PostgresStore::open(&settings, Arc::clone(registry), outside).await;
        return Ok(Arc::new(
            opened.with_context(|| format!("can't open the database {} (database.url)", config.database_name()))?,
        ));
    }
    let settings = file(config, stay);
    make_folder(&settings)?;
    let opened = sqlite::SqliteStore::open(&settings, Arc::clone(registry), outside);
    Ok(Arc::new(opened.with_context(|| format!("can't open the database {} (database.url)", config.database_name()))?))
}

/// Opens the database to be read whole.
pub(super) async fn dump(config: &Config, registry: &Arc<Registry>, seal: bool) -> anyhow::Result<Box<dyn Dump>> {
    let opened = match config.database_server() {
        Some(url) => postgres::archive::dump(url, Arc::clone(registry), seal).await,
        None => sqlite::archive::dump(&file(config, Stay::Visitor), Arc::clone(registry), seal),
    };
    opened.with_context(|| format!("can't take {} along as a whole", config.database_name()))
}

/// Opens the database to be filled from an archive.
pub(super) async fn restore(config: &Config, registry: &Arc<Registry>) -> anyhow::Result<Box<dyn Restore>> {
    let opened = match config.database_server() {
        Some(url) => postgres::archive::restore(url, Arc::clone(registry)).await,
        None => {
            let settings = file(config, Stay::Visitor);
            make_folder(&settings)?;
            sqlite::archive::restore(&settings, Arc::clone(registry))
        }
    };
    opened.with_context(|| format!("can't fill {} from an archive", config.database_name()))
}

/// Takes the seal off the database; says whether there was one.
pub(super) async fn unseal(config: &Config, registry: &Arc<Registry>) -> anyhow::Result<bool> {
    let unsealed = match config.database_server() {
        Some(url) => postgres::archive::unseal(url, Arc::clone(registry)).await,
        None => sqlite::archive::unseal(&file(config, Stay::Visitor), Arc::clone(registry)),
    };
    unsealed.with_context(|| format!("can't unseal {}", config.database_name()))
}

/// How a command ends that could not do what it was to: wrong use, where trying again changes nothing.
pub(super) fn judged(error: anyhow::Error) -> Failure {
    let is_wrong_use = match error.downcast_ref::<StoreError>() {
        Some(error) => matches!(error, StoreError::InUse(_) | StoreError::Sealed(_)),
        None => error.downcast_ref::<TransferError>().is_some_and(|error| error.exit_code() == 2),
    };
    if is_wrong_use { Failure::Usage(error) } else { Failure::Running(error) }
}

fn file(config: &Config, stay: Stay) -> sqlite::Settings {
    sqlite::Settings {
        path: config.database_path(),
        durable: config.database.synchronous == Synchronous::Full,
        readers: config.database.readers,
        resident: stay == Stay::Resident,
    }
}

fn make_folder(settings: &sqlite::Settings) -> anyhow::Result<()> {
    let Some(folder) = settings.path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))
}
