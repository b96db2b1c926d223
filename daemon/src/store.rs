//! The use cases' view of a database, and the two backends behind it. Only here is diesel known.

pub mod archive;
pub mod cluster;
mod combine;
pub mod compare;
mod decode;
mod error;
mod generated;
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
mod transaction;
mod turns;
mod unsaid;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::PoolUse;
use crate::sync::token::Credentials;
use crate::sync::{Caller, DeviceId, Role, Scope, UserId};

pub use decode::NOT_TAKEN;
pub use error::StoreError;
use open::HOLDS_PARTS;
pub use open::{OpenConflict, OpenConflicts, OpenPage, OpenStand};
pub use releases::MigrationState;
pub use rights::Rights;
pub use rows::{DeviceRow, Entry, PAGE_BYTES, Passed, Range, Receipts, Records, RowState, Rows, ScopeState, States};
pub use stopped::{OnStopped, Stopped};
pub use transaction::{
    DeviceOperations, HousekeepingOperations, IndexOperations, Query, ReceiptOperations, RowOperations,
    ScopeOperations, Transaction,
};

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
