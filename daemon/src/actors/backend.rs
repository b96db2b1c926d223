//! What the actors need of the service, and nothing else of it; tests bring a small one of their own.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ryzed_adapters::Registry;
use serde_json::Value;

use crate::auth::Caller;
use crate::config::Limits;
use crate::service::{DeviceSeen, Pushed, ScopePage, Service, ServiceError};
use crate::sync::wire::{SyncRequest, SyncResponse};
use crate::sync::{Cursor, DeviceId, Scope, Version};

/// The use cases that sockets need. Each does what [`Service`] says.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The synced tables.
    fn registry(&self) -> &Arc<Registry>;
    /// The bounds.
    fn limits(&self) -> &Limits;
    /// The time.
    fn now(&self) -> DateTime<Utc>;
    /// Uploads from a socket.
    async fn push(&self, caller: &Caller, device: &DeviceId, changes: Vec<Value>) -> Result<Pushed, ServiceError>;
    /// Uploads, then downloads.
    async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<SyncResponse, ServiceError>;
    /// A scope's changes after a version, `likely` of this table.
    async fn scope_page(
        &self,
        scope: Scope,
        after: Version,
        likely: Option<&'static str>,
    ) -> Result<ScopePage, ServiceError>;
    /// Where the scopes are.
    async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError>;
    /// Where the caller's newest state is.
    async fn newest(&self, caller: &Caller) -> Result<Cursor, ServiceError>;
    /// Whether a cursor can still be served.
    async fn can_serve(&self, caller: &Caller, cursor: &Cursor) -> Result<bool, ServiceError>;
    /// Registers a device.
    async fn seen(&self, caller: &Caller, seen: DeviceSeen) -> Result<(), ServiceError>;
}

#[async_trait]
impl Backend for Service {
    fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn push(&self, caller: &Caller, device: &DeviceId, changes: Vec<Value>) -> Result<Pushed, ServiceError> {
        Self::push(self, caller, Some(device), changes).await
    }

    async fn sync(&self, caller: &Caller, request: SyncRequest) -> Result<SyncResponse, ServiceError> {
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

    async fn heads(&self, scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError> {
        Self::heads(self, scopes).await
    }

    async fn newest(&self, caller: &Caller) -> Result<Cursor, ServiceError> {
        Self::newest(self, caller).await
    }

    async fn can_serve(&self, caller: &Caller, cursor: &Cursor) -> Result<bool, ServiceError> {
        Self::can_serve(self, caller, cursor).await
    }

    async fn seen(&self, caller: &Caller, seen: DeviceSeen) -> Result<(), ServiceError> {
        Self::seen(self, caller, seen).await
    }
}
