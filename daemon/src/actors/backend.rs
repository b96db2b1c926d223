//! The actors' interface to the service, and nothing more of it; tests bring a small one of their own.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ryzed_adapters::Registry;

use crate::auth::Caller;
use crate::budget::Budget;
use crate::config::Limits;
use crate::service::{DeviceSeen, Pushed, ScopePage, Served, Service, ServiceError, Standing};
use crate::sync::raw::Uploads;
use crate::sync::token::{Presented, Refusal};
use crate::sync::wire::{SyncRequest, SyncResponse};
use crate::sync::{Cursor, DeviceId, Scope, UserId, Version};

/// The use cases that sockets need. Each does what [`Service`] says.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The synced tables.
    fn registry(&self) -> &Arc<Registry>;
    /// The bounds.
    fn limits(&self) -> &Arc<Limits>;
    /// The remaining shares of those limits.
    fn budget(&self) -> &Arc<Budget>;
    /// The time.
    fn now(&self) -> DateTime<Utc>;
    /// Hears what time it is for a person's device.
    fn hear_clock(&self, user: UserId, theirs: DateTime<Utc>);
    /// An upload from a socket.
    async fn push(&self, caller: &Caller, device: &DeviceId, change: Uploads) -> Result<Pushed, ServiceError>;
    /// Uploads, then downloads.
    async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<Served<SyncResponse>, ServiceError>;
    /// A scope's changes after a version, `likely` of this table.
    async fn scope_page(
        &self,
        scope: Scope,
        after: Version,
        likely: Option<&'static str>,
    ) -> Result<ScopePage, ServiceError>;
    /// The same for one of this person's devices that replays what it missed.
    async fn replay_page(&self, user: UserId, scope: Scope, after: Version) -> Result<ScopePage, ServiceError>;
    /// Reads the latest versions of scopes.
    async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError>;
    /// The stand of a device that connects with this cursor.
    async fn standing(
        &self,
        caller: &Caller,
        device: &DeviceId,
        cursor: Option<&Cursor>,
    ) -> Result<Standing, ServiceError>;
    /// Registers a device.
    async fn seen(&self, caller: &Caller, seen: DeviceSeen) -> Result<(), ServiceError>;
    /// Checks that a caller may use a device.
    async fn admit(&self, caller: &Caller, device: &DeviceId) -> Result<(), ServiceError>;
    /// Finds the connected devices that may not stay.
    async fn refused(&self, presented: Vec<Presented>) -> Result<Vec<(usize, Refusal)>, ServiceError>;
}

#[async_trait]
impl Backend for Service {
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
        self.clock.now()
    }

    fn hear_clock(&self, user: UserId, theirs: DateTime<Utc>) {
        Self::hear_clock(self, user, theirs);
    }

    async fn push(&self, caller: &Caller, device: &DeviceId, change: Uploads) -> Result<Pushed, ServiceError> {
        Self::push(self, caller, Some(device), change).await
    }

    async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<Served<SyncResponse>, ServiceError> {
        Self::sync(self, caller, request).await
    }

    async fn scope_page(
        &self,
        scope: Scope,
        after: Version,
        likely: Option<&'static str>,
    ) -> Result<ScopePage, ServiceError> {
        Self::scope_page(self, scope, after, likely).await
    }

    async fn replay_page(&self, user: UserId, scope: Scope, after: Version) -> Result<ScopePage, ServiceError> {
        Self::replay_page(self, user, scope, after).await
    }

    async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError> {
        Self::heads(self, scopes).await
    }

    async fn standing(
        &self,
        caller: &Caller,
        device: &DeviceId,
        cursor: Option<&Cursor>,
    ) -> Result<Standing, ServiceError> {
        Self::standing(self, caller, device, cursor).await
    }

    async fn seen(&self, caller: &Caller, seen: DeviceSeen) -> Result<(), ServiceError> {
        Self::seen(self, caller, seen).await
    }

    async fn admit(&self, caller: &Caller, device: &DeviceId) -> Result<(), ServiceError> {
        Self::admit(self, caller, Some(device)).await
    }

    async fn refused(&self, presented: Vec<Presented>) -> Result<Vec<(usize, Refusal)>, ServiceError> {
        Self::refused(self, presented).await
    }
}
