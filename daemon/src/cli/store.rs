//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;
use std::time::Duration;

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

/// The URL of the PostgreSQL server with its password, when the database is not a file.
pub(super) fn server_url(config: &Config) -> Result<Option<String>, Failure> {
    let Some(url) = config.database_server() else { return Ok(None) };
    let about = || format!("{} (database.url)", config.database_name());
    postgres::check_url(url).with_context(about).map_err(Failure::Usage)?;
    let Some(path) = &config.database.password_file else { return Ok(Some(url.to_owned())) };
    let file = || format!("{} (database.password_file)", path.display());
    let text = std::fs::read_to_string(path).with_context(file).map_err(Failure::Usage)?;
    // An editor or `echo` leaves a line end, which is not part of the password.
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Usage(anyhow!("{} is empty", file())));
    }
    Ok(Some(postgres::with_password(url, password).with_context(file).map_err(Failure::Usage)?))
}

/// Waits for a server that is not there yet, as after a boot.
pub(super) async fn wait_until_there(config: &Config) -> Result<(), Failure> {
    let Some(url) = server_url(config)? else { return Ok(()) };
    let patience = Duration::from_secs(config.database.wait_seconds);
    let about = || format!("can't reach the database {} (database.url)", config.database_name());
    Ok(postgres::wait_until_there(&url, patience).await.with_context(about)?)
}

/// Opens the database and brings its schema up to date. Blocks while a file is opened.
pub(super) async fn open(config: &Config, stay: Stay, outside: OnOutsideWrite) -> Result<Opened, Failure> {
    let adapters = Arc::new(Registry::standard());
    match server_url(config)? {
        Some(url) => open_server(config, url, &adapters, stay, outside).await,
        None => Ok(open_file(config, adapters, stay, outside)?),
    }
}

async fn open_server(
    config: &Config,
    url: String,
    adapters: &Arc<Registry>,
    stay: Stay,
    outside: OnOutsideWrite,
) -> Result<Opened, Failure> {
    let name = || format!("can't open the database {} (database.url)", config.database_name());
    let adopted =
        layout_to_serve(&url, adapters, &naming(config)).await.map_err(failure).map_err(|f| f.context(name()))?;
    let settings =
        postgres::Settings { url, connections: config.database.connections, resident: stay == Stay::Resident };
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
