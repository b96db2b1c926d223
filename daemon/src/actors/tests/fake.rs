//! A backend in memory: versions and who made them, no rows.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use ryzed_adapters::Registry;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::actors::{Backend, Housekeeping, Realtime};
use crate::auth::{AuthError, Caller, Role, Verify};
use crate::budget::{Budget, Kind};
use crate::config::Limits;
use crate::service::{Committed, DeviceSeen, Hints, Pushed, ScopePage, Served, ServiceError, Standing};
use crate::sync::raw::Uploads;
use crate::sync::token::{Presented, Refusal};
use crate::sync::wire::{ChangeResult, Status, SyncRequest, SyncResponse};
use crate::sync::{ChangeRecord, Cursor, DeviceId, Operation, Scope, UserId, Version};

/// The number of records on a page of the fake.
const PAGE: usize = 10;

pub(crate) struct Fake {
    registry: Arc<Registry>,
    limits: Arc<Limits>,
    budget: Arc<Budget>,
    log: Mutex<HashMap<Scope, Vec<ChangeRecord>>>,
    live: OnceLock<Realtime>,
    /// Told when a sync begins that never ends: that of the device `stuck`.
    pub stuck: Notify,
    /// Pages that were read.
    pub reads: AtomicUsize,
}

pub(crate) fn user(n: u128) -> UserId {
    UserId(uuid::Uuid::from_u128(n))
}

pub(crate) fn caller(n: u128) -> Caller {
    let expires_at = Utc::now() + TimeDelta::hours(1);
    Caller { user: user(n), role: Role::Authenticated, email: None, expires_at, token: None }
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let limits = Arc::new(Limits { messages_per_second: 10_000, message_burst: 10_000, ..Limits::default() });
        let registry = Arc::new(Registry::standard());
        let budget = Budget::new(Arc::clone(&limits));
        Arc::new(Self {
            registry,
            limits,
            budget,
            log: Mutex::default(),
            live: OnceLock::new(),
            stuck: Notify::new(),
            reads: AtomicUsize::new(0),
        })
    }

    pub(crate) fn hint_to(&self, live: Realtime) {
        let _ = self.live.set(live);
    }

    /// One more change of the scope; what a hint of it would say. No device means: by SQL.
    pub(crate) fn commit(&self, scope: Scope, device: &str) -> Committed {
        let mut log = self.log.lock().unwrap();
        let log = log.entry(scope).or_default();
        let version = log.len() as Version + 1;
        let record = ChangeRecord {
            scope,
            version,
            table: "foods",
            operation: Operation::Insert,
            id: "a".into(),
            source_device: device.parse().ok(),
            row: RawValue::from_string(format!(r#"{{"id":"a","_version":{version}}}"#)).ok(),
            old: None,
        };
        log.push(record.clone());
        Committed { scope, version, records: vec![record] }
    }

    fn head(&self, scope: Scope) -> Version {
        self.log.lock().unwrap().get(&scope).map_or(0, |log| log.len() as Version)
    }

    fn newest_of(&self, user: UserId) -> Cursor {
        Cursor { user: self.head(Scope::User(user)), global: self.head(Scope::Global), ..Cursor::zero("e") }
    }
}

#[async_trait]
impl Backend for Fake {
    fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn hear_clock(&self, _: UserId, _: DateTime<Utc>) {}

    async fn push(&self, caller: &Caller, device: &DeviceId, _: Uploads) -> Result<Pushed, ServiceError> {
        let commit = self.commit(Scope::User(caller.user), device.as_str());
        let result = ChangeResult {
            mutation_id: None,
            status: Status::Applied,
            table: "foods".into(),
            id: None,
            version: Some(commit.version),
            errors: vec![],
        };
        let scopes = [(commit.scope, commit.version)].into();
        if let Some(live) = self.live.get() {
            live.committed(commit);
        }
        let mut pushed = Pushed::default();
        pushed.results.push(result);
        pushed.scopes = scopes;
        Ok(pushed)
    }

    async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<Served<SyncResponse>, ServiceError> {
        if request.device_id.is_some_and(|device| device.as_str() == "stuck") {
            self.stuck.notify_one();
            std::future::pending::<()>().await;
        }
        let answer = SyncResponse {
            sync_timestamp: String::new(),
            changes: RawValue::from_string("{}".into()).unwrap(),
            deletions: Default::default(),
            conflicts: vec![],
            results: vec![],
            next_sync_recommended: String::new(),
            total_changes: 0,
            cursor: self.newest_of(caller.user),
            has_more: false,
            reset: false,
            digest: None,
            stopped: Vec::new(),
        };
        Ok(Served { answer, turn: self.budget.turn(caller.user, Kind::Read).await? })
    }

    async fn scope_page(
        &self,
        scope: Scope,
        after: Version,
        _: Option<&'static str>,
    ) -> Result<ScopePage, ServiceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let log = self.log.lock().unwrap();
        let log = log.get(&scope).map_or(&[][..], Vec::as_slice);
        let begin = usize::try_from(after).unwrap().min(log.len());
        let end = (begin + PAGE).min(log.len());
        Ok(ScopePage { records: log[begin..end].to_vec(), version: end as Version, has_more: end < log.len() })
    }

    async fn replay_page(&self, _: UserId, scope: Scope, after: Version) -> Result<ScopePage, ServiceError> {
        self.scope_page(scope, after, None).await
    }

    async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError> {
        Ok(scopes.iter().map(|scope| (*scope, self.head(*scope))).collect())
    }

    async fn standing(&self, caller: &Caller, _: &DeviceId, cursor: Option<&Cursor>) -> Result<Standing, ServiceError> {
        tokio::task::yield_now().await;
        let can_resume = cursor.is_some_and(|cursor| cursor.epoch == "e");
        Ok(Standing { newest: self.newest_of(caller.user), can_resume })
    }

    async fn seen(&self, _: &Caller, seen: DeviceSeen) -> Result<(), ServiceError> {
        if seen.device.as_str() == "revoked" { Err(ServiceError::Revoked) } else { Ok(()) }
    }

    async fn admit(&self, _: &Caller, _: &DeviceId) -> Result<(), ServiceError> {
        Ok(())
    }

    async fn refused(&self, _: Vec<Presented>) -> Result<Vec<(usize, Refusal)>, ServiceError> {
        Ok(Vec::new())
    }
}

/// Takes a number for that user's token, and nothing else.
pub(crate) struct Open;

#[async_trait]
impl Verify for Open {
    async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        token.parse().map(caller).map_err(|_| AuthError::Refused("the token is not good"))
    }
}

/// Has nothing to tidy.
pub(crate) struct Idle;

#[async_trait]
impl Housekeeping for Idle {
    async fn collect(&self, _: Vec<(UserId, DeviceId)>) -> bool {
        false
    }
}
