//! The connected devices of all instances: this instance knows its own sockets, the database those of the others.
//! While the database is away, only this one's are listed.

use std::collections::HashMap;
use std::time::Duration;

use tracing::debug;

use super::realtime::Realtime;
use crate::service::ServiceError;
use crate::sync::{DeviceId, UserId};

/// The time limit for the database's answer about the others.
const PATIENCE: Duration = Duration::from_secs(3);

impl Realtime {
    /// The user's connected devices, wherever they are.
    pub async fn online_cluster_wide(&self, user: UserId) -> Vec<DeviceId> {
        let mut devices = self.online(user);
        for device in self.on_other_instances(user).await {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        devices
    }

    /// Counts the devices that are connected to other instances.
    pub async fn connections_on_other_instances(&self) -> usize {
        let Some(directory) = &self.shared.bridge.cluster.directory else { return 0 };
        let me = self.me();
        let counting = directory.read(move |presence| presence.count_on_other_instances(me));
        let on_others = known(counting).await.unwrap_or_default();
        usize::try_from(on_others).unwrap_or_default()
    }

    /// Everybody with a connected device, and how many.
    pub async fn active_users_cluster_wide(&self) -> Vec<(UserId, usize)> {
        let here = self.active_users().into_iter().map(|(user, devices)| (user, devices.len()));
        let mut active: HashMap<UserId, usize> = here.collect();
        if let Some(directory) = &self.shared.bridge.cluster.directory {
            let me = self.me();
            let asking = directory.read(move |presence| presence.users_elsewhere(me));
            for (user, devices) in known(asking).await.unwrap_or_default() {
                *active.entry(user).or_default() += usize::try_from(devices).unwrap_or_default();
            }
        }
        active.into_iter().collect()
    }

    /// Counts the user's devices that are connected to other instances, but for one.
    pub async fn count_on_other_instances(&self, user: UserId, except: Option<&DeviceId>) -> usize {
        self.on_other_instances(user).await.iter().filter(|device| Some(*device) != except).count()
    }

    async fn on_other_instances(&self, user: UserId) -> Vec<DeviceId> {
        let (me, directory) = (self.me(), &self.shared.bridge.cluster.directory);
        let Some(directory) = directory else { return Vec::new() };
        known(directory.read(move |presence| presence.on_other_instances(me, user))).await.unwrap_or_default()
    }

    fn me(&self) -> uuid::Uuid {
        self.shared.bridge.cluster.me()
    }
}

async fn known<T>(asking: impl Future<Output = Result<T, ServiceError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(known)) => Some(known),
        Ok(Err(error)) => {
            debug!(%error, "reading the connections of other instances failed");
            None
        }
        Err(_) => None,
    }
}
