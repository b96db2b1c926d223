//! The use cases. Transactions are opened here and nowhere else; nothing here knows HTTP or actors.

mod batch;
mod conflicts;
mod devices;
mod export;
mod hints;
mod housekeeping;
mod live;
mod outcome;
mod pull;
mod push;
mod request;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use ryzed_adapters::{FieldError, Registry, Strategy, code, format_time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Caller;
use crate::clock::Clock;
use crate::config::Limits;
use crate::store::{Store, StoreError};
use crate::sync::wire::{ChangeResult, Conflict, Digest, SyncRequest, SyncResponse};
use crate::sync::{ChangeRecord, Cursor, DeviceId, Scope, Version};
use pull::{PAGE_ROWS, Pull};
use push::{Push, Stop};
use request::Change;

pub use hints::{Committed, Hints};
pub use outcome::ServiceError;

/// All use cases, for all callers.
pub struct Service {
    /// The synced tables.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: Limits,
    /// How long tombstones and receipts are kept.
    pub keep: TimeDelta,
    store: Arc<dyn Store>,
    hints: OnceLock<Arc<dyn Hints>>,
}

/// What a pull asks for.
#[derive(Debug, Clone, Default)]
pub struct PullRequest {
    /// Where the client stands; none means zero.
    pub cursor: Option<Cursor>,
    /// Without a cursor: every row changed at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// The tables; none named means all.
    pub tables: Vec<String>,
    /// The most rows.
    pub limit: Option<i64>,
    /// Whether to add a digest.
    pub digest: bool,
}

/// What a device says of itself when it calls.
#[derive(Debug, Clone)]
pub struct DeviceSeen {
    /// Its id.
    pub device: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
    /// The app's release.
    pub app_version: Option<String>,
    /// What the person calls it.
    pub name: Option<String>,
    /// How many changes it has queued.
    pub pending_uploads: Option<u32>,
    /// Where it stands.
    pub cursor: Option<Cursor>,
}

/// A device as `/devices` lists it; `is_active` is added by whoever knows the sockets.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceInfo {
    /// Its id.
    pub device_id: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
    /// The app's release.
    pub app_version: Option<String>,
    /// When it last called.
    pub last_seen: String,
    /// What the person calls it.
    pub name: Option<String>,
    /// How many changes it had queued when it last said.
    pub pending_uploads: u32,
    /// Where it stood when it last synced.
    pub cursor: Option<Cursor>,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// What `/sync-status` knows from the database.
#[derive(Debug, Clone)]
pub struct SyncStatus {
    /// The device, if it ever called.
    pub device: Option<DeviceInfo>,
    /// When it last synced.
    pub last_sync: Option<String>,
    /// Rows and deletions that wait for it.
    pub pending_downloads: i64,
}

/// Changes of one scope after a version.
#[derive(Debug, Clone)]
pub struct ScopePage {
    /// In version order.
    pub records: Vec<ChangeRecord>,
    /// Everything up to here is in `records` or was before them.
    pub version: Version,
    /// Whether there is more after `version`.
    pub has_more: bool,
}

/// How an open conflict is settled.
#[derive(Debug, Clone, Deserialize)]
pub struct Settlement {
    /// Whose values to take.
    pub resolution: Resolution,
    /// The values, for [`Resolution::Fields`].
    #[serde(default)]
    pub data: Option<ryzed_adapters::Row>,
}

/// Whose values settle an open conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The server's stay.
    Server,
    /// The client's are written.
    Client,
    /// The ones in `data` are written.
    Fields,
}

/// What a push came to.
#[derive(Debug, Default)]
pub struct Pushed {
    /// One for each change, in their order.
    pub results: Vec<ChangeResult>,
    /// The conflicts met.
    pub conflicts: Vec<Conflict>,
    /// Where each scope stood after the commit.
    pub scopes: BTreeMap<Scope, Version>,
    /// Mutations that had been seen before.
    retried: Vec<Uuid>,
    /// What to tell the living part of the daemon.
    commits: Vec<Committed>,
}

/// A scope's time is brought up to now when it is older than this, so that timestamp pulls stay short. It
/// bounds how far `sync_timestamp` lies back, and how often syncing writes to the scope.
const FRESH: TimeDelta = TimeDelta::seconds(60);

impl Service {
    /// All use cases on `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        keep: TimeDelta,
    ) -> Self {
        Self { registry, clock, limits, keep, store, hints: OnceLock::new() }
    }

    /// Tells who hears of commits. Once; later calls change nothing.
    pub fn set_hints(&self, hints: Arc<dyn Hints>) {
        let _ = self.hints.set(hints);
    }

    /// The life of the database: the first part of every cursor.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.store.epoch()
    }

    /// The database's kind: `sqlite` or `postgres`.
    #[must_use]
    pub fn database(&self) -> &'static str {
        self.store.kind()
    }

    /// `POST /sync`: registers the device, uploads, downloads.
    ///
    /// # Errors
    /// When the request as a whole is at fault; a change that is at fault is `rejected` on its own.
    pub async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<SyncResponse, ServiceError> {
        let cursor = if request.force_full_sync { Some(Cursor::zero(self.epoch())) } else { request.cursor.clone() };
        let pull =
            self.plan(caller, cursor, request.last_sync_timestamp, &request.tables, request.limit, request.digest)?;
        self.check_changes(request.changes.len())?;
        let seen = DeviceSeen {
            device: request.device_id,
            device_type: request.device_type,
            app_version: request.app_version,
            name: request.device_name,
            pending_uploads: request.pending_uploads,
            cursor: request.cursor.clone(),
        };
        devices::check_seen(&seen)?;
        let epoch = request.cursor.as_ref().map_or("", |cursor| cursor.epoch.as_str());
        let push = Push {
            registry: Arc::clone(&self.registry),
            caller: caller.clone(),
            device: Some(seen.device.clone()),
            changes: request.changes.into_iter().map(|change| Change::read(change, &self.registry)).collect(),
            strategy: request.conflict_strategy,
            atomic: request.atomic,
            same_life: epoch.is_empty() || epoch == self.epoch(),
            now: self.clock.now(),
        };
        let pushed = self.upload(push, seen).await?;
        self.tell(&pushed);
        let pull = Arc::new(pull);
        let mut answer = self
            .store
            .read(move |tx| {
                let pull = Arc::clone(&pull);
                Box::pin(async move { Ok::<_, ServiceError>(pull.run(tx).await?) })
            })
            .await?;
        answer.results = pushed.results;
        answer.conflicts = pushed.conflicts;
        Ok(answer)
    }

    /// One transaction: the device has called, its changes are done.
    async fn upload(&self, push: Push, seen: DeviceSeen) -> Result<Pushed, ServiceError> {
        let push = Arc::new(push);
        let most = self.limits.devices_per_user;
        let outcome = self
            .store
            .write(move |tx| {
                let (push, seen) = (Arc::clone(&push), seen.clone());
                Box::pin(async move {
                    let now = format_time(push.now);
                    tx.ensure_user(push.caller.user, push.caller.email.as_deref(), &now).await?;
                    devices::register(tx, &push.caller, &seen, &now, most, true).await?;
                    freshen(tx, &push).await?;
                    if push.changes.is_empty() {
                        return Ok(Pushed::default());
                    }
                    push.run(tx).await.map_err(PushError::from)
                })
            })
            .await;
        outcome.or_else(PushError::settled)
    }

    /// Uploads from a socket. The changes come as they were sent; each is read on its own.
    ///
    /// # Errors
    /// Those of the database; a change that is at fault is `rejected`.
    pub async fn push(&self, caller: &Caller, device: &DeviceId, changes: Vec<Value>) -> Result<Pushed, ServiceError> {
        self.check_changes(changes.len())?;
        let pushed = self.run_push(caller, Some(device), changes, None).await?;
        self.tell(&pushed);
        Ok(pushed)
    }

    async fn run_push(
        &self,
        caller: &Caller,
        device: Option<&DeviceId>,
        changes: Vec<Value>,
        strategy: Option<Strategy>,
    ) -> Result<Pushed, ServiceError> {
        let push = Arc::new(Push {
            registry: Arc::clone(&self.registry),
            caller: caller.clone(),
            device: device.cloned(),
            changes: changes.into_iter().map(|change| Change::read(change, &self.registry)).collect(),
            strategy,
            atomic: false,
            same_life: true,
            now: self.clock.now(),
        });
        let outcome = self
            .store
            .write(move |tx| {
                let push = Arc::clone(&push);
                Box::pin(async move { push.run(tx).await.map_err(PushError::from) })
            })
            .await;
        outcome.or_else(PushError::settled)
    }

    /// The download alone: `GET /changes`.
    ///
    /// # Errors
    /// When the request is at fault.
    pub async fn pull(&self, caller: &Caller, request: PullRequest) -> Result<SyncResponse, ServiceError> {
        let pull = Arc::new(self.plan(
            caller,
            request.cursor,
            request.since,
            &request.tables,
            request.limit,
            request.digest,
        )?);
        self.store
            .read(move |tx| {
                let pull = Arc::clone(&pull);
                Box::pin(async move { Ok::<_, ServiceError>(pull.run(tx).await?) })
            })
            .await
    }

    /// `GET /digest`: where the caller's newest state is, and its digest.
    ///
    /// # Errors
    /// When a table is unknown.
    pub async fn digest(&self, caller: &Caller, tables: &[String]) -> Result<(Cursor, Digest), ServiceError> {
        let tables = self.tables(tables)?;
        let (registry, epoch, user) = (Arc::clone(&self.registry), self.epoch().to_owned(), caller.user);
        self.store
            .read(move |tx| {
                let (registry, epoch, tables) = (Arc::clone(&registry), epoch.clone(), tables.clone());
                Box::pin(async move {
                    let scopes = [Scope::Global, Scope::User(user)];
                    let mut cursor = Cursor::zero(&epoch);
                    for state in tx.scopes(&scopes).await? {
                        cursor.set(state.scope, state.version);
                    }
                    Ok::<_, ServiceError>((cursor, pull::digest(tx, &registry, &tables, &scopes).await?))
                })
            })
            .await
    }

    /// A round trip to the database.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        self.store.read(|tx| Box::pin(async move { Ok::<_, ServiceError>(tx.ping().await?) })).await
    }

    /// Finishes what is being written, and closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }

    fn tell(&self, pushed: &Pushed) {
        if let Some(hints) = self.hints.get() {
            for commit in &pushed.commits {
                hints.committed(commit.clone());
            }
        }
    }

    fn plan(
        &self,
        caller: &Caller,
        cursor: Option<Cursor>,
        since: Option<DateTime<Utc>>,
        tables: &[String],
        limit: Option<i64>,
        digest: bool,
    ) -> Result<Pull, ServiceError> {
        let cursor = cursor.map(|cursor| {
            let negative = || ServiceError::field("cursor", code::OUT_OF_RANGE, "versions must not be negative");
            cursor.checked().ok_or_else(negative)
        });
        Ok(Pull {
            registry: Arc::clone(&self.registry),
            user: caller.user,
            epoch: self.epoch().to_owned(),
            cursor: cursor.transpose()?,
            since,
            tables: self.tables(tables)?,
            limit: match limit {
                None => PAGE_ROWS,
                Some(1..) => limit.unwrap_or(PAGE_ROWS).min(PAGE_ROWS),
                Some(_) => return Err(ServiceError::field("limit", code::OUT_OF_RANGE, "must be at least 1")),
            },
            digest,
            now: self.clock.now(),
        })
    }

    /// The names of these tables; an unknown one is an error that names it.
    fn tables(&self, names: &[String]) -> Result<Vec<&'static str>, ServiceError> {
        let known = |name: &String| {
            self.registry.get(name).map(|table| table.name).ok_or_else(|| {
                let shown: String = name.chars().take(64).collect();
                FieldError::new("tables", "unknown_table", format!("there is no table {shown:?}"))
            })
        };
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for name in names {
            match known(name) {
                Ok(name) => found.push(name),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(found) } else { Err(ServiceError::Invalid(errors)) }
    }

    fn check_changes(&self, count: usize) -> Result<(), ServiceError> {
        let most = self.limits.changes_per_request;
        if count <= most {
            return Ok(());
        }
        let detail = format!("a request may bring {most} changes, this one brings {count}; send them in several");
        Err(ServiceError::Limit { limit: "changes_per_request", detail })
    }
}

/// Brings the scopes' time up to now where it lies far back.
async fn freshen(tx: &mut dyn crate::store::Transaction, push: &Push) -> Result<(), StoreError> {
    let scopes = [Scope::Global, Scope::User(push.caller.user)];
    let oldest = format_time(push.now - FRESH);
    let states = tx.scopes(&scopes).await?;
    let stale: Vec<Scope> = states.iter().filter(|state| state.changed_at < oldest).map(|state| state.scope).collect();
    if stale.is_empty() { Ok(()) } else { tx.touch(&stale, &format_time(push.now)).await }
}

/// Why an upload's transaction was rolled back.
enum PushError {
    Stop(Stop),
    Service(ServiceError),
}

impl From<StoreError> for PushError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl From<ServiceError> for PushError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<Stop> for PushError {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl PushError {
    /// An atomic request that was stopped has an answer; the rest are errors.
    fn settled(self) -> Result<Pushed, ServiceError> {
        match self {
            Self::Stop(Stop::Atomic(pushed)) => Ok(*pushed),
            Self::Stop(Stop::Store(error)) => Err(error.into()),
            Self::Service(error) => Err(error),
        }
    }
}
