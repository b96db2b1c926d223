//! Calls the housekeeping now and then. What there is to tidy is not known here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::service::{Forgotten, Service};

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
            Ok(forgotten) if forgotten == Forgotten::default() => {}
            Ok(forgotten) => tracing::info!(?forgotten, "forgot what is older than it is kept"),
            Err(error) => tracing::warn!(%error, "could not tidy up; the next round will"),
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
        myself.send_after(arguments.1, || ());
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
