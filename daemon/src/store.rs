//! The use cases' view of a database, and the two backends behind it. Only here is diesel known.

pub mod archive;
pub mod cluster;
pub mod compare;
mod decode;
mod open;
mod outage;
pub mod postgres;
mod releases;
mod rights;
mod rows;
pub mod sqlite;
mod statement;
mod stopped;
pub mod times;
pub mod tokens;
mod turns;
mod unsaid;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ryzed_adapters::Table;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

use crate::metrics::PoolUse;
use crate::sync::digest::TableDigest;
use crate::sync::{Caller, DeviceId, Role, RowId, Scope, UserId, Version};
use compare::Compare;
use times::Times;
use tokens::{Credentials, Refusal, Tokens};

pub use decode::NOT_TAKEN;
use open::HOLDS_PARTS;
pub use open::{OpenConflict, OpenConflicts, OpenPage, OpenStand};
pub use releases::MigrationState;
pub use rights::Rights;
pub use rows::{DeviceRow, Entry, PAGE_BYTES, Passed, Range, Receipts, Records, RowState, Rows, ScopeState, States};
pub use stopped::{OnStopped, Stopped};

/// A database. Everything happens in transactions: `read` sees one snapshot,
/// `write` is done whole or not at all.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The epoch of this database: the first part of every cursor.
    fn epoch(&self) -> &str;

    /// `sqlite` or `postgres`.
    fn kind(&self) -> &'static str;

    /// Runs `job` in a transaction that is committed when the job is `Ok` and rolled back when it is not. The
    /// transaction carries `access`, so that a database with rules of its own (row-level security) can apply them.
    /// Writes on behalf of one person run one after the other. A caller whose token or device is revoked gets
    /// [`StoreError::Refused`], and the job is not run.
    async fn run(&self, mode: Mode, access: Access, job: Job) -> Result<(), StoreError>;

    /// A round trip to the database, however busy it is.
    async fn ping(&self) -> Result<(), StoreError>;

    /// The connections in use; of the reading ones where a single one writes.
    fn pool_use(&self) -> Option<PoolUse>;

    /// True while nothing was ever written into the database.
    fn is_new(&self) -> bool;

    /// Resolves, with the reason, once the database can't be used any more before the daemon is restarted.
    async fn gone(&self) -> String {
        std::future::pending().await
    }

    /// The reason why the database can't be written just now, if one is known: a full disk and the like, which no read
    /// would show.
    fn storage_fault(&self) -> Option<&'static str> {
        None
    }

    /// The best number of rows of a long upload for one transaction: more where nobody waits for it meanwhile.
    fn rows_at_once(&self) -> usize {
        usize::MAX
    }

    /// True if several instances can share the database; then [`Transaction::presence`] is there.
    fn is_shared(&self) -> bool {
        false
    }

    /// The key with which instances seal their messages to each other; none where there can't be several.
    fn bridge_key(&self) -> Option<&cluster::BridgeKey> {
        None
    }

    /// Sets the listener for notices from other instances ([`cluster::Presence::notify`]). Call it once.
    fn subscribe(&self, _ear: OnNotice) {}

    /// The tables that are stopped at the moment.
    fn stopped(&self) -> Arc<Stopped> {
        Arc::default()
    }

    /// Sets the listener for changes of the set of stopped tables. Call it once.
    fn hear_of_stops(&self, _ear: OnStopped) {}

    /// Finishes what is queued and closes; later calls are [`StoreError::Unavailable`].
    async fn close(&self);
}

/// The kind of a transaction: reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One snapshot, no writes.
    Read,
    /// All or nothing, durable once it is done.
    Write,
}

/// The caller of a transaction, on whose behalf it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A person: their own rows and the catalogue.
    Person {
        /// The person.
        user: UserId,
        /// The role, which decides about writes to the catalogue.
        role: Role,
        /// The token's e-mail address, if it has one.
        email: Option<String>,
        /// The token and device of the request.
        credentials: Credentials,
    },
    /// A caller without a person: the catalogue, as far as everybody sees it.
    Anybody,
    /// The daemon itself, which reads every scope to pass changes on, forgets what is old, and writes no rows.
    Daemon,
}

impl Access {
    /// A caller, who may speak for a device.
    #[must_use]
    pub fn of(caller: &Caller, device: Option<&DeviceId>) -> Self {
        let credentials = Credentials { token: caller.token.clone(), device: device.cloned() };
        Self::Person { user: caller.user, role: caller.role, email: caller.email.clone(), credentials }
    }
}

impl From<&Caller> for Access {
    fn from(caller: &Caller) -> Self {
        Self::of(caller, None)
    }
}

impl From<Scope> for Access {
    /// For reading one scope.
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::User(user) => {
                Self::Person { user, role: Role::default(), email: None, credentials: Credentials::default() }
            }
            Scope::Global => Self::Anybody,
        }
    }
}

/// The relation of this process to the database while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// The daemon's: it brings the schema up to date and keeps the database's epoch.
    Resident,
    /// A command's that brings the schema up to date.
    Keeper,
    /// A command's that works beside the daemon, and leaves the schema to it.
    Visitor,
}

/// Called when somebody else has written to the database.
pub type OnOutsideWrite = Arc<dyn Fn() + Send + Sync>;

/// Called with each notice, of another instance, of this one, or of anybody else; must not block.
pub type OnNotice = Arc<dyn Fn(&str) + Send + Sync>;

/// The work of one transaction. It may be run again when the database asks for a retry.
pub type Job =
    Box<dyn for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<(), StoreError>> + Send + Sync + 'static>;

impl dyn Store {
    /// Runs `work` on one snapshot.
    ///
    /// # Errors
    /// Those of the work, and those of the database.
    pub async fn read<T, E, F>(&self, access: impl Into<Access>, work: F) -> Result<T, E>
    where
        F: for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.transact(Mode::Read, access.into(), work).await
    }

    /// Runs `work` in a transaction; its error rolls back.
    ///
    /// # Errors
    /// Those of the work, and those of the database.
    pub async fn write<T, E, F>(&self, access: impl Into<Access>, work: F) -> Result<T, E>
    where
        F: for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.transact(Mode::Write, access.into(), work).await
    }

    async fn transact<T, E, F>(&self, mode: Mode, access: Access, work: F) -> Result<T, E>
    where
        F: for<'t> Fn(&'t mut dyn Transaction) -> BoxFuture<'t, Result<T, E>> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let slot: Arc<Mutex<Option<Result<T, E>>>> = Arc::default();
        let filled = Arc::clone(&slot);
        let job: Job = Box::new(move |tx| {
            let done = work(tx);
            let slot = Arc::clone(&slot);
            Box::pin(async move {
                let outcome = done.await;
                let verdict = if outcome.is_ok() { Ok(()) } else { Err(StoreError::RolledBack) };
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                verdict
            })
        });
        let ran = self.run(mode, access, job).await;
        let outcome = filled.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (ran, outcome) {
            (Ok(()), Some(outcome)) | (Err(StoreError::RolledBack), Some(outcome)) => outcome,
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(StoreError::RolledBack.into()),
        }
    }
}

/// The operations of a transaction.
#[async_trait]
pub trait Transaction: Compare + OpenConflicts + Times + Tokens {
    /// Tells which reads are about to come. A database that is far away fetches their answers in one round trip; a write
    /// makes it forget what was not asked for yet.
    async fn prefetch(&mut self, _reads: &[Query<'_>]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Tells of which table the changes are most likely that are about to be read. Others come as well.
    fn expect_rows_of(&mut self, _table: Option<&'static str>) {}

    /// The registry of the instances that share the database; none where there is only one.
    fn presence(&mut self) -> Option<&mut dyn cluster::Presence> {
        None
    }

    /// The tables that are stopped, as far as this transaction knows: nothing of them is read or written.
    fn stopped(&self) -> Arc<Stopped> {
        Arc::default()
    }

    /// Reports that something written is not as it should be. Has the database look, before anything is promised,
    /// whether its tables are still the ones that the daemon knows.
    fn doubt(&mut self) {}

    /// Reports a write that no trigger has booked, so that it would reach nobody: the transaction is not to be
    /// committed.
    fn refuse_unbooked(&mut self);

    /// The rights of people on a table's rows, where an application's grants limit them.
    fn rights(&self, _table: &str) -> Option<Rights> {
        None
    }

    /// Notes that a device passes over entries of stopped tables, so that it gets them once those tables are served
    /// again.
    async fn pass_over(&mut self, _passed: &[Passed]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The tables that are served again and of which entries that were passed over in these scopes are still to be
    /// sent.
    async fn untold(&mut self, _scopes: &[Scope]) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    // Scopes.
    /// The state of these scopes, in the order asked; one without changes is at version 0.
    async fn scopes(&mut self, scopes: &[Scope]) -> Result<Vec<ScopeState>, StoreError>;
    /// Makes sure that no later change of these scopes gets a time before `now`.
    async fn touch(&mut self, scopes: &[Scope], now: &str) -> Result<(), StoreError>;

    // Rows.
    /// The stored state of these rows: live ones wherever they are, tombstones only in `scopes`. Unknown ids are
    /// missing. Reading stops behind the row that exceeds `bytes`; the first row always comes.
    async fn states(
        &mut self,
        table: &Table,
        ids: &[RowId],
        scopes: &[Scope],
        bytes: usize,
    ) -> Result<States, StoreError>;
    /// The scopes of these live rows.
    async fn owners(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Scope)>, StoreError>;
    /// Writes whole rows, given as a JSON array, on behalf of `device`; all, or none and an error.
    async fn upsert(&mut self, table: &Table, rows: &str, device: Option<&DeviceId>) -> Result<(), StoreError>;
    /// Sets `fields` of rows that are there (empty: those that each part brings), given as a JSON array of parts of rows, each
    /// with its id; returns how many rows were there. When not all were there, none is changed.
    async fn update(
        &mut self,
        table: &Table,
        fields: &[String],
        parts: &str,
        device: Option<&DeviceId>,
    ) -> Result<usize, StoreError>;
    /// The columns by which each rule of the database goes that wants different rows, but for their ids.
    async fn unique(&mut self, table: &Table) -> Result<Vec<Vec<String>>, StoreError>;
    /// Notes where the transaction stands.
    async fn mark(&mut self) -> Result<(), StoreError>;
    /// Takes back what was written since the mark, which stays.
    async fn take_back(&mut self) -> Result<(), StoreError>;
    /// Deletes rows on behalf of `device`.
    async fn delete(&mut self, table: &Table, ids: &[RowId], device: Option<&DeviceId>) -> Result<(), StoreError>;
    /// The ids of these rows that exist, whether the caller sees them or not.
    async fn standing(&mut self, table: &Table, ids: &[RowId]) -> Result<Vec<RowId>, StoreError>;
    /// Makes the person's row unless it is there, or a rule of the database says that it may not be.
    async fn ensure_user(&mut self, user: UserId, email: Option<&str>, now: &str) -> Result<(), StoreError>;

    // The change index.
    /// Entries of `scope` after `after`, in version order, at most `limit`; `tables` empty means all.
    async fn entries(
        &mut self,
        scope: Scope,
        after: Version,
        tables: &[&'static str],
        limit: i64,
    ) -> Result<Vec<Entry>, StoreError>;
    /// Live rows of one table in `range`, as JSON with `_version`, in version order.
    async fn rows(&mut self, table: &Table, scope: Scope, range: Range) -> Result<Rows, StoreError>;
    /// Changes with `after < version`, whole, in version order, at most `limit` and about [`PAGE_BYTES`].
    async fn records(&mut self, scope: Scope, after: Version, limit: i64) -> Result<Records, StoreError>;
    /// The last version of `scope` whose time is before `time`, or 0.
    async fn version_before(&mut self, scope: Scope, time: &str) -> Result<Version, StoreError>;
    /// The number of entries of `scope` after `after`, counted up to `most`.
    async fn count_after(&mut self, scope: Scope, after: Version, most: i64) -> Result<i64, StoreError>;
    /// The digests of the live rows of these scopes, by table; a table may come several times, once for each scope.
    async fn digest(&mut self, scopes: &[Scope]) -> Result<Vec<(String, TableDigest)>, StoreError>;

    // Receipts.
    /// The results of mutations that were seen before, and how many there are of the person.
    async fn receipts(&mut self, user: UserId, mutations: &[Uuid]) -> Result<Receipts, StoreError>;
    /// Keeps the results of mutations.
    async fn keep_receipts(&mut self, user: UserId, receipts: &[(Uuid, String)], now: &str) -> Result<(), StoreError>;

    // Devices.
    /// The person's devices.
    async fn devices(&mut self, user: UserId) -> Result<Vec<DeviceRow>, StoreError>;
    /// One device.
    async fn device(&mut self, user: UserId, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError>;
    /// Writes one device, new or not.
    async fn keep_device(&mut self, user: UserId, device: &DeviceRow) -> Result<(), StoreError>;
    /// Notes that devices were seen `now`, those of them that were last seen before `before`.
    async fn see_devices(&mut self, seen: &[(UserId, DeviceId)], now: &str, before: &str) -> Result<(), StoreError>;
    /// The number of the person's devices that are not revoked.
    async fn count_devices(&mut self, user: Option<UserId>) -> Result<i64, StoreError>;

    // Housekeeping.
    /// Forgets at most `limit` tombstones older than `before`, raising the floors; returns how many.
    async fn prune_tombstones(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
    /// Forgets at most `limit` receipts older than `before`; returns how many.
    async fn prune_receipts(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
    /// Forgets the person's device that was seen least lately of those that were never seen after their first hour, nor for
    /// three before `now`; returns how many. Revoked ones stay.
    async fn forget_passing_device(&mut self, user: UserId, now: &str) -> Result<usize, StoreError>;
    /// Forgets at most `limit` devices that were last seen before `before` and are not revoked; returns how many.
    async fn prune_devices(&mut self, before: &str, limit: i64) -> Result<usize, StoreError>;
}

/// A read of a [`Transaction`], with what it is going to be called with.
#[derive(Debug, Clone, Copy)]
pub enum Query<'r> {
    /// [`Transaction::scopes`].
    Scopes(&'r [Scope]),
    /// [`Transaction::states`].
    States(&'r Table, &'r [RowId], &'r [Scope], usize),
    /// [`Transaction::owners`].
    Owners(&'r str, &'r [RowId]),
    /// [`Transaction::entries`].
    Entries(Scope, Version, &'r [&'static str], i64),
    /// [`Transaction::records`].
    Records(Scope, Version, i64),
    /// [`Transaction::receipts`].
    Receipts(UserId, &'r [Uuid]),
    /// [`Transaction::device`].
    Device(UserId, &'r DeviceId),
}

/// A failure of the database. Never holds row contents.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not reachable, busy, out of connections or shutting down: safe to try again later.
    #[error("not available: {0}")]
    Unavailable(String),
    /// A rule of the schema refused a row.
    #[error("a constraint refused the row: {0}")]
    Constraint(String),
    /// The row belongs to somebody else, which the daemon should have seen before: a mistake of its own, stopped in time.
    #[error("the row is not the caller's: {0}")]
    Denied(String),
    /// The caller's token or device is refused; nothing was done.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A row refers to one that is not there; the text names the foreign key.
    #[error("a row refers to one that is not there: {0}")]
    Reference(String),
    /// The table is stopped, and was not asked. It may go on at any time.
    #[error("the table {0} is stopped until it is mended; the server's log says why")]
    Stopped(&'static str),
    /// The job decided against committing.
    #[error("rolled back")]
    RolledBack,
    /// The work is too much for one transaction; less at once may succeed.
    #[error("{0}")]
    TooMuch(String),
    /// Another process works on the database, and what is asked for wants it alone.
    #[error("{0}")]
    InUse(String),
    /// The database was taken elsewhere as a whole.
    #[error("{0}")]
    Sealed(String),
    /// The database is missing or not one that this release can work on; the text says what to do.
    #[error("{0}")]
    Unsuitable(String),
    /// The statement failed.
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    /// No trigger has booked what was written.
    fn unbooked() -> Self {
        Self::Unavailable("what was written moved no version, and was taken back".into())
    }

    /// True if a person has to act first, so that trying again changes nothing.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::InUse(_) | Self::Sealed(_) | Self::Unsuitable(_))
    }
}
