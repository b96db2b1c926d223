//! Who is connected, over all instances: this one knows its own sockets, the database those of the others.
//! While the database is away, only this one's are told.

use std::collections::HashMap;
use std::time::Duration;

use tracing::debug;

use super::live::Live;
use crate::service::ServiceError;
use crate::sync::{DeviceId, UserId};

/// How long the database may take to tell of the others.
const PATIENCE: Duration = Duration::from_secs(3);

impl Live {
    /// The user's connected devices, wherever they are.
    pub async fn online_anywhere(&self, user: UserId) -> Vec<DeviceId> {
        let mut devices = self.online(user);
        for device in self.elsewhere(user).await {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        devices
    }

    /// How many devices are connected to other instances.
    pub async fn connections_elsewhere(&self) -> usize {
        let Some(directory) = &self.shared.bridge.neighbours.directory else { return 0 };
        let elsewhere = known(directory.count_elsewhere(self.me())).await.unwrap_or_default();
        usize::try_from(elsewhere).unwrap_or_default()
    }

    /// Everybody with a connected device, and how many.
    pub async fn active_users_anywhere(&self) -> Vec<(UserId, usize)> {
        let here = self.active_users().into_iter().map(|(user, devices)| (user, devices.len()));
        let mut active: HashMap<UserId, usize> = here.collect();
        if let Some(directory) = &self.shared.bridge.neighbours.directory {
            for (user, devices) in known(directory.users_elsewhere(self.me())).await.unwrap_or_default() {
                *active.entry(user).or_default() += usize::try_from(devices).unwrap_or_default();
            }
        }
        active.into_iter().collect()
    }

    /// How many of the user's devices are connected to other instances, but for one.
    pub async fn count_elsewhere(&self, user: UserId, except: Option<&DeviceId>) -> usize {
        self.elsewhere(user).await.iter().filter(|device| Some(*device) != except).count()
    }

    async fn elsewhere(&self, user: UserId) -> Vec<DeviceId> {
        match &self.shared.bridge.neighbours.directory {
            Some(directory) => known(directory.elsewhere(self.me(), user)).await.unwrap_or_default(),
            None => Vec::new(),
        }
    }

    fn me(&self) -> uuid::Uuid {
        self.shared.bridge.neighbours.me()
    }
}

async fn known<T>(asking: impl Future<Output = Result<T, ServiceError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(known)) => Some(known),
        Ok(Err(error)) => {
            debug!(%error, "what is connected to other instances is not known");
            None
        }
        Err(_) => None,
    }
}
