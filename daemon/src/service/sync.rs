//! `POST /sync` and uploads from sockets: first everything up, in one transaction or, where others would wait for a long one, in
//! several; then the download.

use std::sync::Arc;

use chrono::TimeDelta;
use ryzed_adapters::{code, format_time};
use serde_json::value::RawValue;

use super::push::{Push, Stop};
use super::request::Change;
use super::{DeviceSeen, Pushed, Served, Service, ServiceError, devices};
use crate::auth::Caller;
use crate::budget::Kind;
use crate::store::{Access, Query, StoreError, Transaction};
use crate::sync::raw::{MOST_CHANGES, RowBounds, Uploads};
use crate::sync::wire::{SyncRequest, SyncResponse};
use crate::sync::{Cursor, DeviceId, Scope};

/// A scope's time is brought up to now when it is older than this, so that timestamp pulls stay short. It
/// bounds how far `sync_timestamp` lies back, and how often syncing writes to the scope.
const FRESH: TimeDelta = TimeDelta::seconds(60);

impl Service {
    /// `POST /sync`: registers the device, uploads, downloads.
    ///
    /// # Errors
    /// When the request as a whole is at fault; a change that is at fault is `rejected` on its own.
    pub async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<Served<SyncResponse>, ServiceError> {
        let cursor = if request.force_full_sync { Some(Cursor::zero(self.epoch())) } else { request.cursor.clone() };
        let pull =
            self.plan(caller, cursor, request.last_sync_timestamp, &request.tables.0, request.limit, request.digest)?;
        self.check_changes(request.changes.count)?;
        let unnamed = || ServiceError::field("device_id", code::REQUIRED, "must be given");
        let seen = DeviceSeen {
            device: request.device_id.ok_or_else(unnamed)?,
            device_type: request.device_type,
            app_version: request.app_version,
            name: request.device_name,
            pending_uploads: request.pending_uploads,
            cursor: request.cursor.clone(),
        };
        devices::check_seen(&seen)?;
        let turn = self.budget.turn(caller.user, Kind::Write).await?;
        let memory = self.budget.working(request.changes.weight).await?;
        let epoch = request.cursor.as_ref().map_or("", |cursor| cursor.epoch.as_str());
        let now = self.clock.now();
        let push = Push {
            registry: Arc::clone(&self.registry),
            caller: caller.clone(),
            device: Some(seen.device.clone()),
            changes: self.read(caller, request.changes, false).await,
            strategy: request.conflict_strategy,
            atomic: request.atomic,
            same_epoch: epoch.is_empty() || epoch == self.epoch(),
            is_operators: false,
            is_early: false,
            now,
            limits: Arc::clone(&self.limits),
        };
        let device = seen.device.clone();
        for part in push.early(self.store.rows_at_once()) {
            let stored = self.upload(part, seen.clone()).await.inspect_err(|error| self.tell_of_doubt(error))?;
            self.tell(&stored);
        }
        let pushed = self.upload(push, seen).await.inspect_err(|error| self.tell_of_doubt(error))?;
        drop(memory);
        self.known_users.note(caller.user);
        self.noted.note(caller, &device);
        self.tell(&pushed);
        let mut turn = turn.turn_to(pull.kind()).await;
        let nothing = if pushed.results.is_empty() { None } else { Some(pull.nothing()?) };
        let mut answer = match (self.run(caller, pull).await, nothing) {
            // What is stored is not answered with an error: the results go out, and the client comes again for the download.
            (Err(error), Some(nothing)) => {
                tracing::warn!(%error, "the download failed behind an upload that is stored");
                nothing
            }
            (answer, _) => answer?,
        };
        turn.has_read();
        // What has no result is of a table that the answer calls stopped, also when it has gone on since.
        let gone_on = pushed.waits_for.iter().filter(|table| !answer.stopped.contains(table)).copied();
        answer.stopped.extend(gone_on.collect::<Vec<_>>());
        answer.results = pushed.results;
        answer.conflicts = pushed.conflicts;
        Ok(Served { answer, turn })
    }

    /// One transaction: the device has called, these changes are done.
    async fn upload(&self, push: Push, seen: DeviceSeen) -> Result<Pushed, ServiceError> {
        let push = Arc::new(push);
        let (access, most) = (Access::of(&push.caller, Some(&seen.device)), self.limits.devices_per_user);
        let coming = self.coming(&push.caller, &seen.device);
        let outcome = self
            .store
            .write(access, move |tx| {
                let (push, seen, coming) = (Arc::clone(&push), seen.clone(), coming.clone());
                Box::pin(async move {
                    let now = format_time(push.now);
                    tx.ensure_user(push.caller.user, push.caller.email.as_deref(), &now).await?;
                    push.prefetch(tx, &[Query::Device(push.caller.user, &seen.device)]).await?;
                    devices::register(tx, &push.caller, &seen, &now, most, true).await?;
                    coming.keep(tx, &now).await?;
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

    /// Uploads from a socket, or of no device at all. The changes come as they were sent; each is read on its own.
    ///
    /// # Errors
    /// Those of the database; a change that is at fault is `rejected`.
    pub async fn push(
        &self,
        caller: &Caller,
        device: Option<&DeviceId>,
        changes: Uploads,
    ) -> Result<Pushed, ServiceError> {
        self.check_changes(changes.count)?;
        let _turn = self.budget.turn(caller.user, Kind::Write).await?;
        let _memory = self.budget.working(changes.weight).await?;
        // Only an import comes without a device.
        let (is_operators, now) = (device.is_none(), self.clock.now());
        let push = Arc::new(Push {
            registry: Arc::clone(&self.registry),
            caller: caller.clone(),
            device: device.cloned(),
            changes: self.read(caller, changes, is_operators).await,
            is_operators,
            is_early: false,
            strategy: None,
            atomic: false,
            same_epoch: true,
            now,
            limits: Arc::clone(&self.limits),
        });
        let outcome = self
            .store
            .write(Access::of(caller, device), move |tx| {
                let push = Arc::clone(&push);
                Box::pin(async move { push.run(tx).await.map_err(PushError::from) })
            })
            .await;
        let pushed = outcome.or_else(PushError::settled).inspect_err(|error| self.tell_of_doubt(error))?;
        self.tell(&pushed);
        // A client that sends one change at a time, or a file, gets the error; the rest is done.
        match pushed.waits_for.first() {
            Some(table) => Err(ServiceError::Stopped(table)),
            None => Ok(pushed),
        }
    }

    /// Reads and judges uploads, where that keeps nobody else waiting.
    async fn read(&self, caller: &Caller, changes: Uploads, is_operators: bool) -> Vec<Change> {
        let (registry, bounds, newest) = (Arc::clone(&self.registry), self.row_bounds(), self.newest_time());
        let bytes = changes.list.iter().map(|change| change.get().len()).sum();
        let read = move |change: &RawValue| Change::read(change, &registry, bounds, is_operators, newest);
        let work = move || changes.list.iter().map(|change| read(change)).collect();
        self.budget.aside(caller.user, bytes, work).await
    }

    /// The limits on a row from outside.
    pub(super) fn row_bounds(&self) -> RowBounds {
        RowBounds { fields: self.limits.fields_per_row, depth: self.limits.value_depth }
    }

    fn check_changes(&self, count: usize) -> Result<(), ServiceError> {
        let most = self.limits.changes_per_request.min(MOST_CHANGES);
        if count <= most {
            return Ok(());
        }
        let detail = format!("a request may bring {most} changes, this one brings {count}; send them in several");
        Err(ServiceError::Limit { limit: "changes_per_request", detail })
    }
}

/// Brings the scopes' time up to now where it lies far back.
async fn freshen(tx: &mut dyn Transaction, push: &Push) -> Result<(), StoreError> {
    let scopes = [Scope::Global, Scope::User(push.caller.user)];
    let oldest = format_time(push.now - FRESH);
    let states = tx.scopes(&scopes).await?;
    let stale: Vec<Scope> = states.iter().filter(|state| state.changed_at < oldest).map(|state| state.scope).collect();
    if stale.is_empty() { Ok(()) } else { tx.touch(&stale, &format_time(push.now)).await }
}

/// The reason for rolling back an upload's transaction.
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
            Self::Stop(Stop::Atomic(pushed) | Stop::Waits(pushed)) => Ok(*pushed),
            Self::Stop(Stop::Limit { limit, detail }) => Err(ServiceError::Limit { limit, detail }),
            Self::Stop(Stop::Store(error)) => Err(error.into()),
            Self::Service(error) => Err(error),
        }
    }
}
