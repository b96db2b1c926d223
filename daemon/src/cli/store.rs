//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ryzed_adapters::Registry;

use super::Failure;
use crate::config::{Config, Synchronous};
use crate::store::archive::{Dump, Restore};
use crate::store::postgres::adopt::{AdoptError, Naming, TableNaming, layout_to_serve};
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
    match server_url(config)? {
        Some(url) => open_server(config, url, stay, outside).await,
        None => open_file(config, Arc::new(own_tables(config)?), stay, outside).map_err(judged),
    }
}

/// The tables as they are in a database of our own, under the rules of the configuration.
pub(super) fn own_tables(config: &Config) -> Result<Registry, Failure> {
    let ruled = Registry::standard().ruled(&config.rules());
    ruled.map_err(|(key, complaint)| Failure::Usage(anyhow!("{key}: {complaint}")))
}

async fn open_server(config: &Config, url: String, stay: Stay, outside: OnOutsideWrite) -> Result<Opened, Failure> {
    let name = || format!("can't open the database {} (database.url)", config.database_name());
    let (naming, adapters) = (naming(config), Registry::standard());
    let layout = layout_to_serve(&url, &naming).await.map_err(failure).map_err(|f| f.context(name()))?;
    let adapters = Arc::new(if layout.is_some() { adapters } else { own_tables(config)? });
    let adopted = layout.map(|layout| postgres::Adopted { layout, naming });
    let settings =
        postgres::Settings { url, connections: config.database.connections, resident: stay == Stay::Resident };
    let is_adopted = adopted.is_some();
    let store = postgres::PostgresStore::open(&settings, &adapters, adopted, outside).await;
    let store = store.with_context(name).map_err(judged)?;
    let registry = Arc::clone(store.registry());
    Ok(Opened { store: Arc::new(store), registry, is_adopted })
}

fn open_file(config: &Config, registry: Arc<Registry>, stay: Stay, outside: OnOutsideWrite) -> anyhow::Result<Opened> {
    let settings = file(config, stay);
    make_folder(&settings)?;
    let store = sqlite::SqliteStore::open(&settings, Arc::clone(&registry), outside);
    let store = store.with_context(|| format!("can't open the database {} (database.url)", config.database_name()))?;
    Ok(Opened { store: Arc::new(store), registry, is_adopted: false })
}

/// What the configuration says of an adopted database's names, in the words of the store.
pub(super) fn naming(config: &Config) -> Naming {
    let named = config.tables.iter().map(|(table, names)| {
        let (schema, name) = names.place(table);
        let is_explicit = names.relation.is_some() || !names.columns.is_empty();
        let (columns, skip, rules) = (names.columns.clone(), names.skip, names.rules());
        (table.clone(), TableNaming { schema, name, columns, skip, is_explicit, rules })
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

/// Opens the database to be read whole, with the tables that it has.
pub(super) async fn dump(config: &Config, seal: bool) -> Result<(Box<dyn Dump>, Arc<Registry>), Failure> {
    let (server, registry) = whole(config).await?;
    let opened = match server {
        Some(url) => postgres::archive::dump(&url, Arc::clone(&registry), seal).await,
        None => sqlite::archive::dump(&file(config, Stay::Visitor), Arc::clone(&registry), seal),
    };
    let opened = opened.with_context(|| format!("can't take {} along as a whole", config.database_name()));
    Ok((opened.map_err(judged)?, registry))
}

/// Opens the database to be filled from an archive, with the tables that it has.
pub(super) async fn restore(config: &Config) -> Result<(Box<dyn Restore>, Arc<Registry>), Failure> {
    let (server, registry) = whole(config).await?;
    let opened = match server {
        Some(url) => postgres::archive::restore(&url, Arc::clone(&registry)).await,
        None => {
            let settings = file(config, Stay::Visitor);
            make_folder(&settings)?;
            sqlite::archive::restore(&settings, Arc::clone(&registry))
        }
    };
    let opened = opened.with_context(|| format!("can't fill {} from an archive", config.database_name()));
    Ok((opened.map_err(judged)?, registry))
}

/// Takes the seal off the database; says whether there was one.
pub(super) async fn unseal(config: &Config) -> Result<bool, Failure> {
    let (server, registry) = whole(config).await?;
    let unsealed = match server {
        Some(url) => postgres::archive::unseal(&url, registry).await,
        None => sqlite::archive::unseal(&file(config, Stay::Visitor), registry),
    };
    unsealed.with_context(|| format!("can't unseal {}", config.database_name())).map_err(judged)
}

/// The server's URL, when the database is on one and is the daemon's own, and its tables.
async fn whole(config: &Config) -> Result<(Option<String>, Arc<Registry>), Failure> {
    let server = server_url(config)?;
    if let Some(url) = &server
        && layout_to_serve(url, &naming(config)).await.map_err(failure)?.is_some()
    {
        return Err(Failure::usage(anyhow!(
            "the tables of {} are an application's, which `ryzed adopt` has found there: move them with pg_dump, and adopt \
             them again",
            config.database_name()
        )));
    }
    Ok((server, Arc::new(own_tables(config)?)))
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
