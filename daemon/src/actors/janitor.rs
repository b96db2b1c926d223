//! Calls the housekeeping now and then. What there is to tidy is not known here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

use crate::service::{Forgotten, Service};

/// How long after the start the first run waits, so that it does not add to the start's own work.
const SOON: Duration = Duration::from_secs(3);

/// What is to be done every few minutes.
#[async_trait]
pub trait Housekeeping: Send + Sync + 'static {
    /// Tidies up, in small batches. Its failures are its own to report.
    async fn collect(&self);
}

#[async_trait]
impl Housekeeping for Service {
    async fn collect(&self) {
        match Self::collect(self).await {
            Ok(Forgotten { tombstones: 0, receipts: 0, devices: 0 }) => {}
            Ok(Forgotten { tombstones, receipts, devices }) => {
                info!(tombstones, receipts, devices, "forgot what was kept long enough");
            }
            Err(error) => warn!(%error, "the housekeeping was not finished; it goes on next time"),
        }
    }
}

pub(crate) struct Janitor;

impl Actor for Janitor {
    type Msg = ();
    type State = (Arc<dyn Housekeeping>, Duration);
    type Arguments = (Arc<dyn Housekeeping>, Duration);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        myself.send_after(SOON.min(arguments.1), || ());
        Ok(arguments)
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        (housekeeping, every): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Before the work, so that a run that fails is not the last one.
        myself.send_after(*every, || ());
        housekeeping.collect().await;
        Ok(())
    }
}
