//! Samples of the change index, compared with the tables: at the start, and with each sweep.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::service::{Service, ServiceError};

/// Takes a sample now and after each pause. It does not report a database that is away: others do.
pub(super) fn at_sweeps(service: Arc<Service>, pause: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match service.sample().await {
                Ok(()) | Err(ServiceError::Unavailable { .. }) => {}
                Err(error) => tracing::warn!(%error, "the change index could not be compared with the tables"),
            }
            tokio::time::sleep(pause).await;
        }
    })
}
