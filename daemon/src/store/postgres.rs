//! The house for PostgreSQL: a bounded pool, native types, triggers on statements, row level security.

pub mod archive;
mod fault;
mod life;
mod listen;
mod migrate;
mod pool;
mod reads;
mod session;
mod sql;
mod transaction;
mod triggers;

use std::sync::Arc;

use async_trait::async_trait;
use ryzed_adapters::{Registry, Table};
use tokio::task::JoinHandle;

use super::archive::sealed;
use super::{Access, Job, Mode, OnOutsideWrite, Store, StoreError};
use pool::Connections;
use sql::TableSql;

pub use migrate::migration_states;

/// How the database is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `postgres://…`
    pub url: String,
    /// The most connections that work at once; one more listens.
    pub connections: usize,
    /// Whether this process is the daemon, which hears of writes from outside. A command that works beside it does not, and
    /// the daemon hears of it.
    pub resident: bool,
}

/// The SQL of every table.
#[derive(Debug)]
struct Schema {
    registry: Arc<Registry>,
    tables: Vec<TableSql>,
    /// Changes of scope `?1` after `?2`, at most `?3`, with their rows.
    records: String,
    /// The device `?2` of the person `?1`.
    device: String,
    /// The devices of the person `?1`.
    devices: String,
    resident: bool,
}

impl Schema {
    fn new(registry: Arc<Registry>, resident: bool) -> Self {
        Self {
            tables: registry.iter().map(TableSql::of).collect(),
            records: sql::records(&registry),
            device: reads::devices("user_id = ?1::uuid AND device_id = ?2"),
            devices: reads::devices("user_id = ?1::uuid ORDER BY first_seen, device_id"),
            registry,
            resident,
        }
    }

    fn of(&self, table: &Table) -> Result<&TableSql, StoreError> {
        let rank = self.registry.rank(table.name);
        rank.map(|rank| &self.tables[rank]).ok_or_else(|| StoreError::Failed(format!("no table {}", table.name)))
    }
}

/// A PostgreSQL database.
pub struct PostgresStore {
    epoch: String,
    connections: Connections,
    listener: Option<JoinHandle<()>>,
}

impl PostgresStore {
    /// Brings the schema up to date and begins to listen.
    ///
    /// # Errors
    /// When the database can't be reached or migrated.
    pub async fn open(
        settings: &Settings,
        registry: Arc<Registry>,
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let mut connection = migrate::up_to_date(&settings.url, &registry).await?;
        if life::is_sealed(&mut connection).await? {
            return Err(sealed());
        }
        let epoch = life::epoch(&mut connection).await?;
        let schema = Arc::new(Schema::new(registry, settings.resident));
        let connections = Connections::new(&settings.url, settings.connections, schema)?;
        let listener = settings.resident.then(|| listen::start(settings.url.clone(), outside));
        Ok(Self { epoch, connections, listener })
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn run(&self, mode: Mode, access: Access, job: Job) -> Result<(), StoreError> {
        self.connections.run(mode, access, job).await
    }

    async fn close(&self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        self.connections.close();
    }
}
