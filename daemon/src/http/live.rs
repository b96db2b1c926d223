//! The connected devices as REST sees them.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{ActiveUser, Counts, LiveApi};
use crate::actors::{CloseReason, Live};
use crate::sync::{DeviceId, UserId};

/// The drain as a whole is bounded by the server; this only ends a drain that nobody waits for any more.
const DRAIN: Duration = Duration::from_secs(60);

#[async_trait]
impl LiveApi for Live {
    async fn online(&self, user: UserId) -> Vec<DeviceId> {
        Self::online(self, user)
    }

    async fn counts(&self) -> Counts {
        let counts = Self::counts(self);
        Counts { connections: counts.connections, users: counts.users }
    }

    async fn active_users(&self) -> Vec<ActiveUser> {
        let active = Self::active_users(self).into_iter();
        active.map(|(user_id, devices)| ActiveUser { user_id, devices: devices.len() }).collect()
    }

    async fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize {
        Self::trigger_sync(self, user, from)
    }

    async fn synced(&self, user: UserId, device: &DeviceId, changes_count: usize) {
        Self::synced(self, user, device, changes_count);
    }

    async fn close_device(&self, user: UserId, device: &DeviceId) {
        Self::close_device(self, user, device, CloseReason::Revoked);
    }

    async fn test_broadcast(&self, user: UserId, message: &str, topic: Option<&str>) -> usize {
        Self::test_broadcast(self, user, &Value::from(message), topic)
    }

    async fn drain(&self) {
        Self::drain(self, DRAIN).await;
    }
}
