//! The backend for PostgreSQL: a bounded pool, native types, triggers on statements, row level security.

mod admission;
pub mod adopt;
pub mod archive;
mod cluster;
mod compare;
pub mod ddl;
mod digest;
mod epoch;
mod fault;
mod fit;
mod functions;
mod generated;
mod kept;
mod lanes;
mod layout;
mod listen;
mod migrate;
mod open;
mod pool;
mod probe;
mod reads;
mod records;
mod renew;
mod server;
mod session;
mod sets;
mod sql;
mod sql_text;
mod times;
mod tls;
mod tokens;
mod transaction;
mod triggers;
mod turn;
mod watch;
mod wire_format;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Registry, Table};
use tokio::task::JoinHandle;

use super::archive::sealed;
use super::cluster::BridgeKey;
use super::{Access, Job, Mode, OnNotice, OnOutsideWrite, OnStopped, Stay, Stopped, Store, StoreError};
use crate::metrics::PoolUse;
use adopt::Naming;
use digest::Digests;
use pool::{Connections, is_full};
use probe::Probe;
use renew::{Ground, served};
use sql::{Guard, TableSql};
use sql_text::texts;
use triggers::Placed;
use watch::{Cause, Current, Watcher};

pub use layout::{Layout, Permits, Place, PlacedColumn};
pub use migrate::{is_begun, migration_states};
pub use server::{AddressError, check_url, wait_until_there, with_password};

/// The settings of a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://…`
    pub url: String,
    /// The most connections that work at once; one more listens, and one asks whether the database is there.
    pub connections: usize,
    /// The relation of this process to the database. The daemon hears of writes from outside; a command that works
    /// beside it does not, and the daemon hears of it.
    pub stay: Stay,
}

/// The SQL of every table.
#[derive(Debug)]
struct Schema {
    registry: Arc<Registry>,
    layout: Layout,
    tables: Vec<TableSql>,
    /// Tables of which nothing is read and nothing written.
    stopped: Arc<Stopped>,
    guards: Guards,
    /// Makes a person's row; none where people have no rows.
    ensure_user: Option<String>,
    /// Changes of scope `?1` after `?2`, at most `?3`, with their rows.
    records: String,
    /// What holds for the live rows of scopes.
    digests: Digests,
    /// The device `?2` of the person `?1`.
    device: String,
    /// The devices of the person `?1`.
    devices: String,
    /// True if the tables are an application's.
    is_adopted: bool,
    terms: Terms,
}

/// The guards of the statements, by table.
type Guards = BTreeMap<&'static str, Guard>;

/// The circumstances that a schema is made for.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// True if this process is the daemon.
    resident: bool,
    /// True if the server's errors are in English, so that their texts can be told apart.
    speaks_english: bool,
}

impl Schema {
    fn new(registry: Arc<Registry>, layout: Layout, stopped: Arc<Stopped>, guards: Guards, terms: Terms) -> Self {
        let placed = Placed { registry: &registry, layout: &layout };
        let guard = |table: &Table| guards.get(table.name).copied().unwrap_or_default();
        let is_adopted = registry.iter().any(|table| table.is_external);
        Self {
            tables: placed.iter().map(|(table, place)| TableSql::of(placed, table, place, guard(table))).collect(),
            ensure_user: sql::ensure_user(&registry, &layout).filter(|_| !stopped.has("users")),
            records: sql::records(placed, &stopped, guard),
            digests: Digests::new(placed, &stopped, guard),
            layout,
            stopped,
            guards,
            device: reads::devices("user_id = ?1::uuid AND device_id = ?2"),
            devices: reads::devices("user_id = ?1::uuid ORDER BY first_seen, device_id"),
            is_adopted,
            registry,
            terms,
        }
    }

    /// The same tables in another layout, others of them stopped.
    fn with(&self, layout: Layout, stopped: Arc<Stopped>, guards: Guards) -> Self {
        Self::new(Arc::clone(&self.registry), layout, stopped, guards, self.terms)
    }

    fn of(&self, table: &Table) -> Result<&TableSql, StoreError> {
        if self.stopped.has(table.name) {
            return Err(StoreError::Stopped(table.name));
        }
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
    watcher: Arc<Watcher>,
    /// The tasks that run as long as the store is open.
    tasks: Vec<JoinHandle<()>>,
    ear: Arc<OnceLock<OnNotice>>,
}

/// A database that was there before: how its tables were adopted, and how the configuration names them.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// The layout of its tables, as they were adopted.
    pub layout: Layout,
    /// The configuration's names of its tables.
    pub naming: Naming,
}

impl PostgresStore {
    /// Brings the schema up to date and begins to listen. `adopted` tells where the tables are that were there before; none
    /// when they are the daemon's own.
    ///
    /// # Errors
    /// When the database can't be reached or migrated.
    pub async fn open(
        settings: &PostgresSettings,
        adapters: &Arc<Registry>,
        adopted: Option<Adopted>,
        outside: OnOutsideWrite,
    ) -> Result<Self, StoreError> {
        let (is_adopted, url) = (adopted.is_some(), &settings.url);
        let own = || Adopted { layout: Layout::own(adapters), naming: Naming::new() };
        let Adopted { layout, naming } = adopted.unwrap_or_else(own);
        let restricted = is_adopted.then(|| layout.fit(adapters));
        let placed = Placed { registry: restricted.as_ref().unwrap_or(adapters), layout: &layout };
        let ground = Ground { adapters, placed, naming: &naming, is_adopted };
        let mut connection = renew::up_to_date(url, ground, settings.stay).await?;
        if epoch::is_sealed(&mut connection).await? {
            return Err(sealed());
        }
        let adopted = layout;
        let (layout, unjudged) = match is_adopted {
            true => now_served(&mut connection, adapters, &naming, &adopted).await?,
            false => (adopted, BTreeSet::new()),
        };
        let registry = if is_adopted { Arc::new(layout.fit(adapters)) } else { Arc::clone(adapters) };
        kept::note(&mut connection, Placed { registry: &registry, layout: &layout }, false).await?;
        let epoch = epoch::epoch(&mut connection).await?;
        let bridge_key = epoch::bridge_key(&mut connection).await?;
        let written =
            texts(&mut connection, "SELECT 'yes' WHERE EXISTS (SELECT FROM ryzed.scopes WHERE version > 0)").await?;
        let speaks_english = server::speaks_english(&mut connection).await?;
        if !speaks_english {
            tracing::warn!(
                "the server's errors are not in English, so every failure is tried again and answered with 503; \
                 let a superuser say: ALTER ROLE <user of database.url> SET lc_messages = 'C'"
            );
        }
        let is_resident = settings.stay == Stay::Resident;
        let terms = Terms { resident: is_resident, speaks_english };
        let schema = Schema::new(Arc::clone(&registry), layout, Arc::default(), Guards::new(), terms);
        let current = Arc::new(Current::new(schema));
        let watcher = Arc::new(Watcher::new(url, adapters, naming, is_adopted.then_some(unjudged), &current));
        watcher.look(Cause::Failure).await?;
        let connections = Connections::new(url, settings.connections, current, Arc::clone(&watcher))?;
        let ear = Arc::default();
        let mut tasks = Vec::new();
        if is_resident {
            tasks.push(watcher.start());
            let (bell, url) = (Arc::clone(&watcher), url.clone());
            tasks.push(listen::start(url, outside, Arc::clone(&ear), Arc::new(move || bell.ring())));
        }
        let (is_new, probe) = (written.is_empty(), Probe::new(url));
        Ok(Self { epoch, is_new, registry, bridge_key, connections, probe, watcher, tasks, ear })
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

    fn subscribe(&self, ear: OnNotice) {
        let _ = self.ear.set(ear);
    }

    fn stopped(&self) -> Arc<Stopped> {
        Arc::clone(&self.watcher.current.get().stopped)
    }

    fn hear_of_stops(&self, ear: OnStopped) {
        self.watcher.tell(ear);
    }

    async fn close(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.connections.close();
    }
}

/// The layout of an adopted database as it is served now, and the tables of which not every column could be judged: they are not
/// served before the next start, also when they are put back.
async fn now_served(
    connection: &mut AsyncPgConnection,
    adapters: &Registry,
    naming: &Naming,
    adopted: &Layout,
) -> Result<(Layout, BTreeSet<String>), StoreError> {
    let facts = adopt::facts(connection, adapters.iter().map(|table| table.name), naming).await?;
    let now = adopt::examine(adapters, &facts, naming).layout;
    let layout = served(adopted, &now);
    let is_whole = |was: &Place| {
        now.of(&was.table).is_some_and(|is| is.shown() == was.shown())
            && layout.of(&was.table).is_some_and(|served| served.columns.len() == was.columns.len())
    };
    let unjudged = adopted.tables.iter().filter(|was| !is_whole(was)).map(|was| was.table.clone()).collect();
    Ok((layout, unjudged))
}

#[cfg(test)]
mod tests;
