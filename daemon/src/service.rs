//! The use cases. Transactions are opened here and nowhere else; nothing here knows HTTP or actors.

mod hints;
mod outcome;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use ryzed_adapters::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Caller;
use crate::clock::Clock;
use crate::config::Limits;
use crate::sync::wire::{ChangeResult, Conflict, Digest, Mutation, SyncRequest, SyncResponse};
use crate::sync::{ChangeRecord, Cursor, DeviceId, Scope, Version};

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
}

impl Service {
    /// Tells who hears of commits. Once; later calls change nothing.
    pub fn set_hints(&self, hints: Arc<dyn Hints>) {
        let _ = self.hints.set(hints);
    }
    /// `POST /sync`: registers the device (`seen`), uploads, downloads.
    pub async fn sync(&self, _caller: &Caller, _request: SyncRequest) -> Result<SyncResponse, ServiceError> {
        unimplemented!()
    }
    /// The download alone: `GET /changes`.
    pub async fn pull(&self, _caller: &Caller, _request: PullRequest) -> Result<SyncResponse, ServiceError> {
        unimplemented!()
    }
    /// Uploads from a socket. `changes` as they came; each is read on its own.
    pub async fn push(
        &self,
        _caller: &Caller,
        _device: &DeviceId,
        _changes: Vec<Value>,
    ) -> Result<Pushed, ServiceError> {
        unimplemented!()
    }
    /// `GET /digest`: where the caller's newest state is, and its digest.
    pub async fn digest(&self, _caller: &Caller, _tables: &[String]) -> Result<(Cursor, Digest), ServiceError> {
        unimplemented!()
    }
    /// Where the newest state of the caller's scopes is.
    pub async fn newest(&self, _caller: &Caller) -> Result<Cursor, ServiceError> {
        unimplemented!()
    }
    /// Whether `cursor` can still be served: `false` means reset.
    pub async fn can_serve(&self, _caller: &Caller, _cursor: &Cursor) -> Result<bool, ServiceError> {
        unimplemented!()
    }
    /// A page of a scope's changes after `after`, for live delivery.
    pub async fn scope_page(&self, _scope: Scope, _after: Version) -> Result<ScopePage, ServiceError> {
        unimplemented!()
    }
    /// The newest versions of these scopes, in one query; scopes that have none are 0.
    pub async fn heads(&self, _scopes: &[Scope]) -> Result<Vec<(Scope, Version)>, ServiceError> {
        unimplemented!()
    }
    /// Registers a device, makes the caller's `users` row on first contact. `Revoked` or `Limit` when it may not call.
    pub async fn seen(&self, _caller: &Caller, _seen: DeviceSeen) -> Result<(), ServiceError> {
        unimplemented!()
    }
    /// The caller's devices.
    pub async fn devices(&self, _caller: &Caller) -> Result<Vec<DeviceInfo>, ServiceError> {
        unimplemented!()
    }
    /// Renames and/or allows again.
    pub async fn patch_device(
        &self,
        _caller: &Caller,
        _device: &DeviceId,
        _name: Option<Option<String>>,
        _allow: bool,
    ) -> Result<DeviceInfo, ServiceError> {
        unimplemented!()
    }
    /// Revokes. The caller closes its socket.
    pub async fn revoke_device(&self, _caller: &Caller, _device: &DeviceId) -> Result<(), ServiceError> {
        unimplemented!()
    }
    /// What the database knows for `/sync-status`.
    pub async fn sync_status(&self, _caller: &Caller, _device: &DeviceId) -> Result<SyncStatus, ServiceError> {
        unimplemented!()
    }
    /// How many devices are registered, all told.
    pub async fn total_devices(&self) -> Result<i64, ServiceError> {
        unimplemented!()
    }
    /// The caller's open conflicts.
    pub async fn conflicts(&self, _caller: &Caller) -> Result<Vec<Conflict>, ServiceError> {
        unimplemented!()
    }
    /// Settles one.
    pub async fn settle(
        &self,
        _caller: &Caller,
        _conflict: Uuid,
        _settlement: Settlement,
    ) -> Result<ChangeResult, ServiceError> {
        unimplemented!()
    }
    /// Everything the caller owns: NDJSON lines `{"table":…,"row":{…}}`, a chunk at a time.
    pub fn export(self: &Arc<Self>, _caller: &Caller) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        unimplemented!()
    }
    /// A round trip to the database.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        unimplemented!()
    }
    #[allow(unused)]
    fn m(_: Mutation) {}
}
