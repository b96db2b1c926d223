//! The house for PostgreSQL: a bounded pool, native types, triggers on statements, row level security.

pub mod adopt;
pub mod archive;
mod fault;
mod fit;
mod form;
mod kept;
mod lanes;
mod layout;
mod life;
mod listen;
mod migrate;
mod open;
mod pool;
mod presence;
mod probe;
mod reads;
mod server;
mod session;
mod sql;
mod times;
mod tls;
mod tokens;
mod transaction;
mod triggers;
mod turn;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use ryzed_adapters::{Registry, Table};
use tokio::task::JoinHandle;

use super::archive::sealed;
use super::presence::BridgeKey;
use super::{Access, Job, Mode, OnNotice, OnOutsideWrite, Stay, Store, StoreError};
use crate::metrics::PoolUse;
use migrate::texts;
use pool::{Connections, is_full};
use probe::Probe;
use sql::TableSql;
use triggers::Placed;

pub use layout::{Layout, Permits, Place, PlacedColumn};
pub use migrate::{is_begun, migration_states};
pub use server::{AddressError, check_url, wait_until_there, with_password};

/// How the database is opened.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `postgres://…`
    pub url: String,
    /// The most connections that work at once; one more listens, and one asks whether the database is there.
    pub connections: usize,
    /// Whose the database is. The daemon hears of writes from outside; a command that works beside it does not, and the daemon
    /// hears of it.
    pub stay: Stay,
}

/// The SQL of every table.
#[derive(Debug)]
struct Schema {
    registry: Arc<Registry>,
    layout: Layout,
    tables: Vec<TableSql>,
    /// Makes a person's row; none where people have no rows.
    ensure_user: Option<String>,
    /// Changes of scope `?1` after `?2`, at most `?3`, with their rows.
    records: String,
    /// Count and version sum by table, of the scopes `?1`.
    digest: String,
    /// The device `?2` of the person `?1`.
    device: String,
    /// The devices of the person `?1`.
    devices: String,
    resident: bool,
    /// Whether the tables are an application's.
    is_adopted: bool,
    /// Whether the server's errors can be told apart by their words.
    speaks_english: bool,
}

impl Schema {
    fn new(registry: Arc<Registry>, layout: Layout, resident: bool, speaks_english: bool) -> Self {
        let placed = registry.iter().filter_map(|table| Some((table, layout.of(table.name)?)));
        let is_adopted = registry.iter().any(|table| table.is_fitted);
        Self {
            tables: placed.map(|(table, place)| TableSql::of(table, place)).collect(),
            ensure_user: sql::ensure_user(&registry, &layout),
            records: sql::records(&registry, &layout),
            digest: sql::digest(&registry, &layout),
            layout,
            device: reads::devices("user_id = ?1::uuid AND device_id = ?2"),
            devices: reads::devices("user_id = ?1::uuid ORDER BY first_seen, device_id"),
            is_adopted,
            registry,
            resident,
            speaks_english,
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
    is_new: bool,
    registry: Arc<Registry>,
    bridge_key: BridgeKey,
    connections: Connections,
    probe: Probe,
    listener: Option<JoinHandle<()>>,
    ear: Arc<OnceLock<OnNotice>>,
}

impl PostgresStore {
    /// Brings the schema up to date and begins to listen. `adopted` tells where the tables are that were there before; none
    /// when they are the daemon's own.
    ///
    /// # Errors
    /// When the database can't be reached or migrated.
    pub async fn open(
        settings: &Settings,
        adapters: &Arc<Registry>,
        adopted: Option<Layout>,
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let (registry, layout) = match adopted {
            Some(layout) => (Arc::new(layout.fit(adapters)), layout),
            None => (Arc::clone(adapters), Layout::own(adapters)),
        };
        let placed = Placed { registry: &registry, layout: &layout };
        let mut connection = migrate::up_to_date(&settings.url, placed, settings.stay).await?;
        if life::is_sealed(&mut connection).await? {
            return Err(sealed());
        }
        kept::note(&mut connection, placed, false).await?;
        let epoch = life::epoch(&mut connection).await?;
        let bridge_key = life::bridge_key(&mut connection).await?;
        let written =
            texts(&mut connection, "SELECT 'yes' WHERE EXISTS (SELECT FROM ryzed.scopes WHERE version > 0)").await?;
        let speaks_english = server::speaks_english(&mut connection).await?;
        if !speaks_english {
            tracing::warn!(
                "the server's errors are not in English, so every failure is tried again and answered with 503; \
                 let a superuser say: ALTER ROLE <user of database.url> SET lc_messages = 'C'"
            );
        }
        let schema =
            Arc::new(Schema::new(Arc::clone(&registry), layout, settings.stay == Stay::Resident, speaks_english));
        let connections = Connections::new(&settings.url, settings.connections, schema)?;
        let ear = Arc::default();
        let is_resident = settings.stay == Stay::Resident;
        let listener = is_resident.then(|| listen::start(settings.url.clone(), outside, Arc::clone(&ear)));
        let (is_new, probe) = (written.is_empty(), Probe::new(&settings.url));
        Ok(Self { epoch, is_new, registry, bridge_key, connections, probe, listener, ear })
    }

    /// The tables that the database has.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
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

    async fn ping(&self) -> Result<(), StoreError> {
        match self.probe.ask().await {
            // The server gives it none of its own.
            Err(StoreError::Unavailable(reason)) if is_full(&reason) => self.connections.ask().await,
            asked => asked,
        }
    }

    fn pool_use(&self) -> Option<PoolUse> {
        Some(self.connections.used())
    }

    fn is_new(&self) -> bool {
        self.is_new
    }

    fn storage_fault(&self) -> Option<&'static str> {
        self.connections.storage_fault()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn bridge_key(&self) -> Option<&BridgeKey> {
        Some(&self.bridge_key)
    }

    fn hear(&self, ear: OnNotice) {
        let _ = self.ear.set(ear);
    }

    async fn close(&self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        self.connections.close();
    }
}

#[cfg(test)]
mod tests;
