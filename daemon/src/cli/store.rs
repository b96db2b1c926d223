//! Opening the database as the configuration says, for every command that needs it.

use std::sync::Arc;

use anyhow::Context;
use ryzed_adapters::Registry;

use crate::config::{Config, Synchronous};
use crate::store::sqlite::{OnOutsideWrite, Settings, SqliteStore};

/// Whose the database is while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// The daemon's.
    Resident,
    /// A command's, which works beside the daemon.
    Visitor,
}

/// Opens the database and brings its schema up to date. Blocks while it does.
pub(super) fn open(
    config: &Config,
    registry: &Arc<Registry>,
    stay: Stay,
    outside: OnOutsideWrite,
) -> anyhow::Result<SqliteStore> {
    let settings = Settings {
        path: config.database_path(),
        durable: config.database.synchronous == Synchronous::Full,
        readers: config.database.readers,
        resident: stay == Stay::Resident,
    };
    if let Some(folder) = settings.path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    SqliteStore::open(&settings, Arc::clone(registry), outside)
        .with_context(|| format!("can't open the database {} (database.url)", settings.path.display()))
}
