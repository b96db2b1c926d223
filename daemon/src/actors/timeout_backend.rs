//! Adds a timeout to every backend call, so that a slow database becomes an error, to report or to retry, instead of a
//! killed actor.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ryzed_adapters::Registry;

use super::backend::Backend;
use crate::auth::Caller;
use crate::budget::Budget;
use crate::config::Limits;
use crate::service::{DeviceSeen, Pushed, ScopePage, Served, ServiceError, Standing};
use crate::sync::raw::Uploads;
use crate::sync::token::{Presented, Refusal};
use crate::sync::wire::{SyncRequest, SyncResponse};
use crate::sync::{Cursor, DeviceId, Scope, UserId, Version};

/// The pause before callers may retry after a timeout.
const RETRY: Duration = Duration::from_secs(2);

/// The same backend, bounded in time.
pub(crate) struct TimeoutBackend {
    inner: Arc<dyn Backend>,
    within: Duration,
}

impl TimeoutBackend {
    pub(crate) fn new(inner: Arc<dyn Backend>, within: Duration) -> Self {
        Self { inner, within }
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, ServiceError>>) -> Result<T, ServiceError> {
        let late = Err(ServiceError::Unavailable { retry_after: RETRY });
        tokio::time::timeout(self.within, work).await.unwrap_or(late)
    }

    /// For what writes: it goes on to its end, and the sessions hear of it, also when nobody waits any longer. Sending it
    /// again is safe, as it is after a lost connection.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let running = tokio::spawn(work);
        let lost = |error| Err(ServiceError::failed(format!("a request failed: {error}")));
        self.bounded(async { running.await.unwrap_or_else(lost) }).await
    }
}

#[async_trait]
impl Backend for TimeoutBackend {
    fn registry(&self) -> &Arc<Registry> {
        self.inner.registry()
    }

    fn limits(&self) -> &Arc<Limits> {
        self.inner.limits()
    }

    fn budget(&self) -> &Arc<Budget> {
        self.inner.budget()
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner.now()
    }

    fn hear_clock(&self, user: UserId, theirs: DateTime<Utc>) {
        self.inner.hear_clock(user, theirs);
    }

    async fn push(&self, caller: &Caller, device: &DeviceId, change: Uploads) -> Result<Pushed, ServiceError> {
        let (inner, caller, device) = (Arc::clone(&self.inner), caller.clone(), device.clone());
        self.to_its_end(async move { inner.push(&caller, &device, change).await }).await
    }

    async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<Served<SyncResponse>, ServiceError> {
        let (inner, caller) = (Arc::clone(&self.inner), caller.clone());
        self.to_its_end(async move { inner.sync(&caller, request).await }).await
    }

    async fn scope_page(
        &self,
        scope: Scope,
        after: Version,
        likely: Option<&'static str>,
    ) -> Result<ScopePage, ServiceError> {
        self.bounded(self.inner.scope_page(scope, after, likely)).await
    }

    async fn replay_page(&self, user: UserId, scope: Scope, after: Version) -> Result<ScopePage, ServiceError> {
        self.bounded(self.inner.replay_page(user, scope, after)).await
    }

    async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError> {
        self.bounded(self.inner.heads(scopes)).await
    }

    async fn standing(
        &self,
        caller: &Caller,
        device: &DeviceId,
        cursor: Option<&Cursor>,
    ) -> Result<Standing, ServiceError> {
        self.bounded(self.inner.standing(caller, device, cursor)).await
    }

    async fn seen(&self, caller: &Caller, seen: DeviceSeen) -> Result<(), ServiceError> {
        self.bounded(self.inner.seen(caller, seen)).await
    }

    async fn admit(&self, caller: &Caller, device: &DeviceId) -> Result<(), ServiceError> {
        self.bounded(self.inner.admit(caller, device)).await
    }

    async fn refused(&self, presented: Vec<Presented>) -> Result<Vec<(usize, Refusal)>, ServiceError> {
        self.bounded(self.inner.refused(presented)).await
    }
}
