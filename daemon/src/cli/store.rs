//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;

use anyhow::Context;
use ryzed_adapters::Registry;

use crate::config::{Config, Synchronous};
use crate::store::{OnOutsideWrite, Store, postgres, sqlite};

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
    let settings = sqlite::Settings {
        path: config.database_path(),
        durable: config.database.synchronous == Synchronous::Full,
        readers: config.database.readers,
        resident: stay == Stay::Resident,
    };
    if let Some(folder) = settings.path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    let opened = sqlite::SqliteStore::open(&settings, Arc::clone(registry), outside);
    Ok(Arc::new(opened.with_context(|| format!("can't open the database {} (database.url)", config.database_name()))?))
}
