//! The arguments and results of the use cases.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Committed;
use crate::budget::Turn;
use crate::sync::digest::Digest;
use crate::sync::wire::{ChangeResult, Conflict};
use crate::sync::{ChangeRecord, Cursor, DeviceId, Scope, Version};

/// The parameters of a pull.
#[derive(Debug, Clone, Default)]
pub struct PullRequest {
    /// The client's cursor; none means zero.
    pub cursor: Option<Cursor>,
    /// Without a cursor: every row changed at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// The tables; none named means all.
    pub tables: Vec<String>,
    /// The most rows.
    pub limit: Option<i64>,
    /// True if the answer should include a digest.
    pub digest: bool,
}

/// A device's report about itself when it calls.
#[derive(Debug, Clone)]
pub struct DeviceSeen {
    /// Its id.
    pub device: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
    /// The app's release.
    pub app_version: Option<String>,
    /// The person's name for it.
    pub name: Option<String>,
    /// The number of changes that it has queued.
    pub pending_uploads: Option<u32>,
    /// Its cursor.
    pub cursor: Option<Cursor>,
}

/// The stand of a device that connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The newest cursor of the scopes that it reads.
    pub newest: Cursor,
    /// True if every change after its own cursor is still known; if not, it has to start over.
    pub can_resume: bool,
}

/// A device as `/devices` lists it; the realtime layer adds `is_active`.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceInfo {
    /// Its id.
    pub device_id: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub device_type: Option<String>,
    /// The app's release.
    pub app_version: Option<String>,
    /// The time of its last call.
    pub last_seen: String,
    /// The person's name for it.
    pub name: Option<String>,
    /// The number of queued changes in its last report.
    pub pending_uploads: u32,
    /// Its cursor at its last sync.
    pub cursor: Option<Cursor>,
    /// True if it was revoked.
    pub is_revoked: bool,
}

/// The database's part of `/sync-status`.
#[derive(Debug, Clone)]
pub struct SyncStatus {
    /// The device, if it ever called.
    pub device: Option<DeviceInfo>,
    /// The time of its last sync.
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
    /// True if there is more after `version`.
    pub has_more: bool,
}

/// Some of a person's open conflicts.
#[derive(Debug, Serialize)]
pub struct ConflictPage {
    /// Oldest first.
    pub conflicts: Vec<Conflict>,
    /// True if there are more.
    pub has_more: bool,
    /// The last one of this page: what the next page is to be asked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Uuid>,
}

/// The resolution of an open conflict.
#[derive(Debug, Clone, Deserialize)]
pub struct Settlement {
    /// The side whose values to take.
    pub resolution: Resolution,
    /// The values, for [`Resolution::Fields`].
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

/// The side whose values settle an open conflict.
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

/// An answer that may be large. Its caller's turn goes on until the answer has memory of its own.
pub struct Served<T> {
    /// The answer.
    pub answer: T,
    /// The turn.
    pub turn: Turn,
}

/// The result of a push.
#[derive(Debug, Default)]
pub struct Pushed {
    /// One for each change, in their order; none for those that wait.
    pub results: Vec<ChangeResult>,
    /// The conflicts met.
    pub conflicts: Vec<Conflict>,
    /// The version of each scope after the commit.
    pub scopes: BTreeMap<Scope, Version>,
    /// The tables that were stopped, when changes wait for one: these have no result, and are to come again.
    pub(super) waits_for: Vec<&'static str>,
    /// Mutations that had been seen before.
    pub(super) retried: HashSet<Uuid>,
    /// The commits to announce to the realtime layer.
    pub(super) commits: Vec<Committed>,
}

/// The answer of `GET /digest`.
#[derive(Debug, Clone, Serialize)]
pub struct Counted {
    /// The cursor at which the digest was taken.
    pub cursor: Cursor,
    /// Of each table that can be told of.
    pub digest: Digest,
    /// The tables that it leaves out.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub stopped: BTreeSet<&'static str>,
}
