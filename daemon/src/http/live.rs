//! What REST needs of the connected devices, as the actors give it.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::to_raw_value;

use super::{ActiveUser, Counts, LiveApi};
use crate::actors::Live;
use crate::sync::{DeviceId, UserId};

#[async_trait]
impl LiveApi for Live {
    async fn online(&self, user: UserId) -> Vec<DeviceId> {
        self.online_anywhere(user).await
    }

    fn counts(&self) -> Counts {
        let counts = Self::counts(self);
        Counts { connections: counts.connections, users: counts.users }
    }

    async fn connections_elsewhere(&self) -> usize {
        Self::connections_elsewhere(self).await
    }

    async fn active_users(&self) -> Vec<ActiveUser> {
        let users = self.active_users_anywhere().await.into_iter();
        users.map(|(user_id, devices)| ActiveUser { user_id, devices }).collect()
    }

    async fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize {
        Self::trigger_sync(self, user, from) + self.count_elsewhere(user, from).await
    }

    async fn synced(&self, user: UserId, device: &DeviceId, changes_count: usize) {
        Self::synced(self, user, device, changes_count);
    }

    async fn close_device(&self, user: UserId, device: &DeviceId) {
        Self::revoked(self, user, device);
    }

    async fn test_broadcast(&self, user: UserId, message: &str, topic: Option<&str>) -> usize {
        let Ok(message) = to_raw_value(message) else { return 0 };
        let here = Self::test_broadcast(self, user, &message, topic);
        // Which tables a device receives is known only where it is connected.
        let elsewhere = match topic {
            Some(topic) if topic.starts_with("global:") => Self::connections_elsewhere(self).await,
            _ => self.count_elsewhere(user, None).await,
        };
        here + elsewhere
    }

    fn bridge(&self) -> &'static str {
        Self::bridge(self)
    }

    #[cfg(feature = "faults")]
    fn fault(&self, victim: crate::actors::Victim, fault: crate::actors::Fault) -> bool {
        Self::fault(self, victim, fault)
    }

    fn is_draining(&self) -> bool {
        *self.draining().borrow()
    }

    async fn drain(&self, window: Duration) {
        Self::drain(self, window).await;
    }

    async fn stop(&self) {
        Self::stop(self).await;
    }
}
