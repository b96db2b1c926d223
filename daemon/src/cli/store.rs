//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ryzed_adapters::Registry;

use super::Failure;
use crate::config::{Config, Synchronous};
use crate::private;
use crate::store::archive::{Dump, Restore};
use crate::store::postgres::adopt::{AdoptError, Naming, TableNaming, layout_to_serve};
use crate::store::{OnOutsideWrite, Stay, Store, StoreError, postgres, sqlite};
use crate::transfer::TransferError;

/// An open database.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    /// The tables that it has.
    pub registry: Arc<Registry>,
    /// True if the tables are an application's, whose catalogue is its own.
    pub is_adopted: bool,
}

/// The URL of the PostgreSQL server with its password, when the database is not a file.
pub(super) fn server_url(config: &Config) -> Result<Option<String>, Failure> {
    let Some(url) = config.database_server() else { return Ok(None) };
    let about = || format!("{} (database.url)", config.database_name());
    postgres::check_url(url).with_context(about).map_err(Failure::Usage)?;
    let Some(path) = &config.database.password_file else { return Ok(Some(url.to_owned())) };
    let file = || format!("{} (database.password_file)", path.display());
    let text = private::read_text(path)
        .map_err(|error| Failure::Usage(anyhow!("can't read {}: {}", file(), private::why(&error))))?;
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

/// Keeps other daemons out of the data directory, where the database is a file.
pub(super) fn hold_folder(config: &Config) -> Result<Option<sqlite::Lock>, Failure> {
    if config.database_server().is_some() {
        return Ok(None);
    }
    let held = sqlite::Lock::of_folder(&config.data_dir);
    held.map(Some).map_err(|error| judged(anyhow::Error::new(error).context("can't start (data_dir)")))
}

/// Opens the database and brings its schema up to date. Blocks while a file is opened.
pub(super) async fn open(config: &Config, stay: Stay, outside: OnOutsideWrite) -> Result<Opened, Failure> {
    match server_url(config)? {
        Some(url) => open_server(config, url, stay, outside).await,
        None => open_file(config, Arc::new(own_tables(config)?), stay, outside),
    }
}

/// The tables that the program knows, with the times that the configuration allows in them.
fn adapters(config: &Config) -> Registry {
    Registry::standard().allowing_ahead(|table| config.future_hours(table))
}

/// Refuses declared tables over an application's database.
pub(super) fn declares_none(config: &Config) -> Result<(), Failure> {
    let Some(table) = config.declared().into_keys().next() else { return Ok(()) };
    Err(Failure::Usage(anyhow!(
        "tables.{table}: declares a table of the daemon's own, and the tables of {} are an application's: take the block out",
        config.database_name()
    )))
}

/// The tables as they are in a database of our own, under the rules of the configuration.
pub(super) fn own_tables(config: &Config) -> Result<Registry, Failure> {
    let first = |complaints: Vec<(String, String)>| complaints.into_iter().next().unwrap_or_default();
    let ruled = config.registry().map_err(first).and_then(|registry| registry.ruled(&config.rules()));
    ruled.map_err(|(key, complaint)| Failure::Usage(anyhow!("{key}: {complaint}")))
}

async fn open_server(config: &Config, url: String, stay: Stay, outside: OnOutsideWrite) -> Result<Opened, Failure> {
    let name = || format!("can't open the database {} (database.url)", config.database_name());
    let (naming, adapters) = (naming(config), adapters(config));
    let layout = layout_to_serve(&url, &naming).await.map_err(failure).map_err(|f| f.context(name()))?;
    if layout.is_some() {
        declares_none(config)?;
    }
    let adapters = Arc::new(if layout.is_some() { adapters } else { own_tables(config)? });
    let adopted = layout.map(|layout| postgres::Adopted { layout, naming });
    let settings = postgres::PostgresSettings { url, connections: config.database.connections, stay };
    let is_adopted = adopted.is_some();
    let store = postgres::PostgresStore::open(&settings, &adapters, adopted, outside).await;
    let store = store.with_context(name).map_err(judged)?;
    let registry = Arc::clone(store.registry());
    Ok(Opened { store: Arc::new(store), registry, is_adopted })
}

fn open_file(config: &Config, registry: Arc<Registry>, stay: Stay, outside: OnOutsideWrite) -> Result<Opened, Failure> {
    let settings = file(config, stay)?;
    match stay {
        Stay::Resident => make_folder(&settings)?,
        Stay::Keeper | Stay::Visitor => must_be_there(config).map_err(judged)?,
    }
    let store = sqlite::SqliteStore::open(&settings, Arc::clone(&registry), outside);
    let store = store.with_context(|| format!("can't open the database {} (database.url)", config.database_name()));
    Ok(Opened { store: Arc::new(store.map_err(judged)?), registry, is_adopted: false })
}

/// The configuration's names of an adopted database, in the store's types.
pub(super) fn naming(config: &Config) -> Naming {
    let declared = config.declared();
    let named = config.tables.iter().filter(|(table, _)| !declared.contains_key(*table)).map(|(table, names)| {
        let (schema, name) = names.place(table);
        let (columns, skip, rules) = (names.column_names(), names.skip, names.rules());
        let is_explicit = names.relation.is_some() || !columns.is_empty();
        (table.clone(), TableNaming { schema, name, columns, skip, is_explicit, rules })
    });
    named.collect()
}

/// The exit of a failed adoption: wrong use if a person has to decide something first, else a failure.
pub(super) fn failure(error: AdoptError) -> Failure {
    match error {
        AdoptError::Refused(message) => Failure::Usage(anyhow!(message)),
        AdoptError::Store(error) if error.is_for_people() => Failure::Usage(error.into()),
        AdoptError::Store(error) => Failure::Running(error.into()),
    }
}

/// Opens the database to be read whole, with the tables that it has.
pub(super) async fn dump(config: &Config, seal: bool) -> Result<(Box<dyn Dump>, Arc<Registry>), Failure> {
    let (server, registry) = whole(config).await?;
    let opened = match server {
        Some(url) => postgres::archive::dump(&url, Arc::clone(&registry), seal).await,
        None => {
            must_be_there(config).map_err(judged)?;
            sqlite::archive::dump(&file(config, Stay::Visitor)?, Arc::clone(&registry), seal)
        }
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
            let settings = file(config, Stay::Keeper)?;
            // It may make a database, but none where nobody has said where.
            if config.database.url.is_none() && config.data_dir == Config::default().data_dir {
                must_be_there(config).map_err(judged)?;
            }
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
        None => {
            must_be_there(config).map_err(judged)?;
            sqlite::archive::unseal(&file(config, Stay::Keeper)?, registry)
        }
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

/// The exit of a failed command: wrong use where trying again changes nothing, else a failure.
pub(super) fn judged(error: anyhow::Error) -> Failure {
    let is_wrong_use = match error.downcast_ref::<StoreError>() {
        Some(error) => error.is_for_people(),
        None => error.downcast_ref::<TransferError>().is_some_and(|error| error.exit_code() == 2),
    };
    if is_wrong_use { Failure::Usage(error) } else { Failure::Running(error) }
}

/// The settings of the database's file, unless others may have put it there.
fn file(config: &Config, stay: Stay) -> Result<sqlite::SqliteSettings, Failure> {
    let path = config.database_path();
    private::vouch_for_database(&path).context("can't open the database (database.url)").map_err(Failure::Usage)?;
    Ok(sqlite::SqliteSettings {
        path,
        durable: config.database.synchronous == Synchronous::Full,
        readers: config.database.readers,
        stay,
    })
}

/// Refuses to go on where there is no database: none but the daemon makes one.
fn must_be_there(config: &Config) -> anyhow::Result<()> {
    let path = config.database_path();
    if path.exists() {
        return Ok(());
    }
    Err(StoreError::Unsuitable(format!(
        "there is no database {}: `ryzed serve` makes one at its first start. If it is elsewhere, say so: --config, --data-dir \
         or --database-url; `ryzed check-config` tells what was read",
        path.display()
    ))
    .into())
}

/// The reason why the database's file can't be read, when it exists.
pub(super) fn unreadable(config: &Config) -> Option<String> {
    let path = config.database_path();
    let is_file = config.database_server().is_none() && path.exists();
    let error = is_file.then(|| std::fs::File::open(&path).err()).flatten()?;
    Some(format!("can't read {}: {}", path.display(), private::why(&error)))
}

fn make_folder(settings: &sqlite::SqliteSettings) -> anyhow::Result<()> {
    let Some(folder) = settings.path.parent() else { return Ok(()) };
    private::make_folder(folder).with_context(|| format!("can't make the folder {}", folder.display()))
}
