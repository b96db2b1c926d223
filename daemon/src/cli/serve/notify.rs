//! Notifies the service manager: ready, stopping, and watchdog pings. Does nothing where there is none.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::service::{Service, ServiceError};

/// Everything is up.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Notifies the service manager that the daemon is stopping.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog after every round trip to the database: a daemon that hangs on it is started again. One whose database
/// is away works as it should, and its sockets are better kept.
pub(super) fn feed_watchdog(service: Arc<Service>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(patience) = sd_notify::watchdog_enabled() else { return };
        let mut rounds = tokio::time::interval((patience / 3).max(Duration::from_millis(10)));
        loop {
            rounds.tick().await;
            match tokio::time::timeout(patience / 3, service.ready()).await {
                Ok(Ok(()) | Err(ServiceError::Unavailable { .. })) => tell(&[NotifyState::Watchdog]),
                Ok(Err(error)) => tracing::warn!(%error, "watchdog ping skipped"),
                Err(_) => tracing::warn!("watchdog ping skipped: the database does not answer"),
            }
        }
    })
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "can't notify the service manager");
    }
}
