//! REST's view of the connected devices, as the actors give it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::to_raw_value;

use super::{ActiveUser, Counts, RealtimeApi};
use crate::actors::{CloseReason, Connection, Hello, Realtime, SocketGuard, Wait, Woken};
use crate::auth::Verify;
use crate::service::ServiceError;
use crate::sync::wire::SyncResponse;
use crate::sync::{DeviceId, UserId};

#[async_trait]
impl RealtimeApi for Realtime {
    async fn online(&self, user: UserId) -> Vec<DeviceId> {
        self.online_cluster_wide(user).await
    }

    async fn connect(&self, hello: Hello, verify: Arc<dyn Verify>) -> Result<(Connection, SocketGuard), CloseReason> {
        let guard = self.socket();
        Ok((Self::connect(self, hello, verify).await?, guard))
    }

    async fn wait(&self, wait: Wait) -> Result<Woken, ServiceError> {
        Self::wait(self, wait).await
    }

    fn counts(&self) -> Counts {
        let counts = Self::counts(self);
        Counts { connections: counts.connections, users: counts.users }
    }

    async fn connections_on_other_instances(&self) -> usize {
        Self::connections_on_other_instances(self).await
    }

    async fn active_users(&self) -> Vec<ActiveUser> {
        let users = self.active_users_cluster_wide().await.into_iter();
        users.map(|(user_id, devices)| ActiveUser { user_id, devices }).collect()
    }

    async fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize {
        Self::trigger_sync(self, user, from) + self.count_on_other_instances(user, from).await
    }

    async fn synced(&self, user: UserId, device: &DeviceId, answer: &SyncResponse, full: bool) {
        Self::synced(self, user, device, answer, full);
    }

    async fn close_device(&self, user: UserId, device: &DeviceId) {
        Self::revoked(self, user, device);
    }

    async fn test_broadcast(&self, user: UserId, message: &str, topic: Option<&str>) -> usize {
        let Ok(message) = to_raw_value(message) else { return 0 };
        let here = Self::test_broadcast(self, user, &message, topic);
        // Which tables a device receives is known only where it is connected.
        let on_others = match topic {
            Some(topic) if topic.starts_with("global:") => Self::connections_on_other_instances(self).await,
            _ => self.count_on_other_instances(user, None).await,
        };
        here + on_others
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
