//! What REST needs of the connected devices, as the actors give it.

use async_trait::async_trait;
use serde_json::json;

use super::{ActiveUser, Counts, LiveApi};
use crate::actors::Live;
use crate::sync::{DeviceId, UserId};

/// The server bounds the drain itself.
const NO_BOUND: std::time::Duration = std::time::Duration::MAX;

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
        let users = Self::active_users(self).into_iter();
        users.map(|(user_id, devices)| ActiveUser { user_id, devices: devices.len() }).collect()
    }

    async fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize {
        Self::trigger_sync(self, user, from)
    }

    async fn synced(&self, user: UserId, device: &DeviceId, changes_count: usize) {
        Self::synced(self, user, device, changes_count);
    }

    async fn close_device(&self, user: UserId, device: &DeviceId) {
        Self::revoked(self, user, device);
    }

    async fn test_broadcast(&self, user: UserId, message: &str, topic: Option<&str>) -> usize {
        Self::test_broadcast(self, user, &json!(message), topic)
    }

    fn bridge(&self) -> &'static str {
        Self::bridge(self)
    }

    #[cfg(feature = "faults")]
    fn fault(&self, victim: crate::actors::Victim, fault: crate::actors::Fault) -> bool {
        Self::fault(self, victim, fault)
    }

    async fn drain(&self) {
        Self::drain(self, NO_BOUND).await;
    }
}
