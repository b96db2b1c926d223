//! The backend for one machine: SQLite in WAL mode, one writer thread with group commit, a few readers.

pub mod archive;
mod checkpoints;
mod compare;
pub mod ddl;
mod epoch;
mod generated;
mod ground;
mod guard;
mod json;
mod lock;
mod migrate;
mod open;
mod readers;
mod reads;
mod records;
mod sql;
mod sums;
mod times;
mod tokens;
mod transaction;
mod triggers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use futures_util::FutureExt;
use ryzed_adapters::{Registry, Table};

use super::archive::sealed;
use super::{Access, Job, Mode, OnOutsideWrite, Stay, Store, StoreError};
use crate::metrics::PoolUse;
use checkpoints::{Checkpoints, LOG_KEPT, WRITER_HELPS};
use ground::Ground;
use guard::Guard;
use readers::Readers;
use sql::TableSql;
use writer::Writer;

pub use ground::{is_begun, leftovers, put_aside};
pub use lock::{Lock, must_be_free};
pub use migrate::migration_states;

/// New rows of a long upload that are written before others get a turn: 15 to 20 ms on a small machine.
const ROWS_AT_ONCE: usize = 250;

/// The settings of a SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The database file; made when it is missing.
    pub path: PathBuf,
    /// True if each commit waits for the disk (`synchronous=FULL`); else it only survives the end of the process
    /// (`NORMAL`).
    pub durable: bool,
    /// Connections that read.
    pub readers: usize,
    /// The relation of this process to the database.
    pub stay: Stay,
}

/// The SQL of every table.
#[derive(Debug)]
pub(crate) struct Schema {
    registry: Arc<Registry>,
    tables: Vec<TableSql>,
}

impl Schema {
    fn new(registry: Arc<Registry>) -> Arc<Self> {
        let tables = registry.iter().map(|table| TableSql::of(table, &registry)).collect();
        Arc::new(Self { registry, tables })
    }

    fn of(&self, table: &Table) -> Result<&TableSql, StoreError> {
        let rank = self.registry.rank(table.name);
        rank.map(|rank| &self.tables[rank]).ok_or_else(|| StoreError::Failed(format!("no table {}", table.name)))
    }
}

/// A SQLite database.
pub struct SqliteStore {
    epoch: String,
    is_new: bool,
    writer: Writer,
    readers: Readers,
    checkpoints: Checkpoints,
    ground: Arc<Ground>,
    lock: Mutex<Option<Lock>>,
}

impl SqliteStore {
    /// Opens the database, brings its schema up to date, and starts the writer. Blocks while it does.
    ///
    /// # Errors
    /// When the file can't be opened or migrated, was sealed, or is being moved as a whole.
    pub fn open(
        settings: &SqliteSettings,
        registry: Arc<Registry>,
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        Self::opened(settings, registry, outside).map_err(|error| ground::judged(&settings.path, error))
    }

    fn opened(settings: &SqliteSettings, registry: Arc<Registry>, outside: OnOutsideWrite) -> Result<Self, StoreError> {
        let lock = match settings.stay {
            Stay::Resident => Lock::resident(&settings.path)?,
            Stay::Keeper | Stay::Visitor => Lock::visiting(&settings.path)?,
        };
        let schema = Schema::new(registry);
        let mut connection = connect(&settings.path, settings.durable)?;
        ground::must_be_whole(&mut connection, &settings.path)?;
        match settings.stay {
            Stay::Resident | Stay::Keeper => migrate::up_to_date(&mut connection, &schema)?,
            Stay::Visitor => migrate::must_be_up_to_date(&mut connection, &schema)?,
        }
        if epoch::is_sealed(&mut connection)? {
            return Err(sealed());
        }
        let life = match settings.stay {
            Stay::Resident => epoch::Life::resume(&mut connection, &settings.path)?,
            Stay::Keeper | Stay::Visitor => epoch::Life::visit(&mut connection)?,
        };
        let (epoch, is_new) = (life.epoch().to_owned(), epoch::height(&mut connection)? == 0);
        let readers = Readers::open(&settings.path, settings.readers, &schema)?;
        let ground = Arc::new(Ground::of(&settings.path)?);
        let checkpoints = Checkpoints::start(&settings.path, Arc::clone(&ground))?;
        let guard = Guard::new(settings.stay == Stay::Resident);
        let writer = Writer::start(connection, schema, life, (Arc::clone(&ground), guard), outside)?;
        Ok(Self { epoch, is_new, writer, readers, checkpoints, ground, lock: Mutex::new(Some(lock)) })
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn run(&self, mode: Mode, access: Access, job: Job) -> Result<(), StoreError> {
        let asked = Asked { access, job };
        match mode {
            Mode::Read => {
                let done = self.readers.run(asked).await;
                match &done {
                    Ok(()) => self.ground.worked(Mode::Read),
                    Err(error) => self.ground.refused(error),
                }
                done
            }
            Mode::Write => self.writer.run(asked).await,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.readers.ask().await
    }

    fn pool_use(&self) -> Option<PoolUse> {
        Some(self.readers.used())
    }

    fn rows_at_once(&self) -> usize {
        ROWS_AT_ONCE
    }

    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn gone(&self) -> String {
        self.ground.gone().await
    }

    fn storage_fault(&self) -> Option<&'static str> {
        self.ground.fault()
    }

    async fn close(&self) {
        // The writer last: the last connection leaves the database in one file.
        self.readers.close().await;
        self.checkpoints.close().await;
        self.writer.close().await;
        // Behind the last connection, and before somebody who was told that it is closed.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Opens a connection as both sides use it.
fn connect(path: &Path, durable: bool) -> Result<SqliteConnection, StoreError> {
    let url = path.to_str().ok_or_else(|| StoreError::Failed("the database's path is not UTF-8".into()))?;
    let mut connection = SqliteConnection::establish(url)
        .map_err(|error| StoreError::Unavailable(format!("can't open {}: {error}", path.display())))?;
    let synchronous = if durable { "FULL" } else { "NORMAL" };
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
         PRAGMA wal_autocheckpoint = {WRITER_HELPS}; PRAGMA journal_size_limit = {LOG_KEPT}; \
         PRAGMA foreign_keys = ON; PRAGMA trusted_schema = ON; PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY;"
    ))?;
    Ok(connection)
}

/// A transaction to run, and on whose behalf.
struct Asked {
    access: Access,
    job: Job,
}

/// Runs a job to its end on this thread. Nothing in this backend waits, so the first poll is the last.
fn finish(asked: &Asked, transaction: &mut transaction::SqliteTransaction<'_>) -> Result<(), StoreError> {
    transaction.admit(&asked.access)?;
    if let Access::Person { user, .. } = &asked.access {
        transaction.user = Some(*user);
    }
    (asked.job)(transaction)
        .now_or_never()
        .unwrap_or_else(|| Err(StoreError::Failed("a job waited for something outside of its transaction".into())))
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Kind, Error};
        match &error {
            // SQLite does not name the key.
            Error::DatabaseError(Kind::ForeignKeyViolation, _) => Self::Reference(String::new()),
            Error::DatabaseError(
                Kind::UniqueViolation | Kind::NotNullViolation | Kind::CheckViolation,
                information,
            ) => Self::Constraint(information.message().to_owned()),
            Error::DatabaseError(_, information) if is_passing(information.message()) => {
                Self::Unavailable(information.message().to_owned())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// SQLite's messages about a lock that another connection holds. A trigger's words may speak of other locks.
const LOCKED: [&str; 3] = ["database is locked", "database table is locked", "database schema is locked"];

/// True if SQLite's message is about a passing state and not about the statement.
fn is_passing(message: &str) -> bool {
    ground::is_fault(message) || LOCKED.iter().any(|words| message.starts_with(words))
}

#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod tests;
