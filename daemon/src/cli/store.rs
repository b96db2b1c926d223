//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use ryzed_adapters::Registry;

use super::Failure;
use crate::config::{Config, Synchronous};
use crate::store::postgres::adopt::{AdoptError, Naming, TableNaming, layout_to_serve};
use crate::store::{OnOutsideWrite, Store, postgres, sqlite};

/// Whose the database is while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// The daemon's.
    Resident,
    /// A command's, which works beside the daemon.
    Visitor,
}

/// An open database.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    /// The tables that it has.
    pub registry: Arc<Registry>,
    /// Whether the tables are an application's, whose catalogue is its own.
    pub is_adopted: bool,
}

/// Opens the database and brings its schema up to date. Blocks while a file is opened.
pub(super) async fn open(config: &Config, stay: Stay, outside: OnOutsideWrite) -> Result<Opened, Failure> {
    let adapters = Arc::new(Registry::standard());
    match config.database_server() {
        Some(url) => open_server(config, url, &adapters, stay, outside).await,
        None => Ok(open_file(config, adapters, stay, outside)?),
    }
}

async fn open_server(
    config: &Config,
    url: &str,
    adapters: &Arc<Registry>,
    stay: Stay,
    outside: OnOutsideWrite,
) -> Result<Opened, Failure> {
    let name = || format!("can't open the database {} (database.url)", config.database_name());
    let adopted =
        layout_to_serve(url, adapters, &naming(config)).await.map_err(failure).map_err(|f| f.context(name()))?;
    let settings = postgres::Settings {
        url: url.to_owned(),
        connections: config.database.connections,
        resident: stay == Stay::Resident,
    };
    let is_adopted = adopted.is_some();
    let store = postgres::PostgresStore::open(&settings, adapters, adopted, outside).await.with_context(name)?;
    let registry = Arc::clone(store.registry());
    Ok(Opened { store: Arc::new(store), registry, is_adopted })
}

fn open_file(config: &Config, registry: Arc<Registry>, stay: Stay, outside: OnOutsideWrite) -> anyhow::Result<Opened> {
    let settings = sqlite::Settings {
        path: config.database_path(),
        durable: config.database.synchronous == Synchronous::Full,
        readers: config.database.readers,
        resident: stay == Stay::Resident,
    };
    if let Some(folder) = settings.path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    let store = sqlite::SqliteStore::open(&settings, Arc::clone(&registry), outside);
    let store = store.with_context(|| format!("can't open the database {} (database.url)", config.database_name()))?;
    Ok(Opened { store: Arc::new(store), registry, is_adopted: false })
}

/// What the configuration says of an adopted database's names, in the words of the store.
pub(super) fn naming(config: &Config) -> Naming {
    let named = config.tables.iter().map(|(table, names)| {
        let (schema, name) = names.place(table);
        let is_explicit = names.relation.is_some() || !names.columns.is_empty();
        let naming = TableNaming { schema, name, columns: names.columns.clone(), skip: names.skip, is_explicit };
        (table.clone(), naming)
    });
    named.collect()
}

/// What has to be decided first is wrong use, whatever else a failure on the way.
pub(super) fn failure(error: AdoptError) -> Failure {
    match error {
        AdoptError::Refused(message) => Failure::Usage(anyhow!(message)),
        AdoptError::Store(error) => Failure::Running(error.into()),
    }
}
