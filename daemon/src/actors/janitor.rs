//! Calls the housekeeping now and then. What there is to tidy is not known here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{info, warn};

#[cfg(any(test, feature = "faults"))]
use super::cell;
use super::context::ActorContext;
use super::mailbox::JanitorMsg;
use super::pulse::Pulse;
use crate::service::{Forgotten, Service};
use crate::sync::{DeviceId, Scope, UserId};

/// The pause before the first run, so that it does not add to the start's own work; and before the next one, when the
/// last one left something over.
const SOON: Duration = Duration::from_secs(3);
/// The part of the actor's own time that one run may take.
const SHARES: u32 = 2;

/// The regular work of the janitor.
#[async_trait]
pub trait Housekeeping: Send + Sync + 'static {
    /// Tidies up, in small batches and not for long, but nothing of devices that are `connected`. True when there is more to
    /// do. Its failures are its own to report.
    async fn collect(&self, connected: Vec<(UserId, DeviceId)>) -> bool;
}

#[async_trait]
impl Housekeeping for Service {
    async fn collect(&self, connected: Vec<(UserId, DeviceId)>) -> bool {
        match Self::collect(self, connected).await {
            Ok(Forgotten { tombstones: 0, receipts: 0, devices: 0, tokens: 0, more }) => more,
            Ok(Forgotten { tombstones, receipts, devices, tokens, more }) => {
                info!(
                    tombstones,
                    receipts, devices, tokens, more, "deleted expired tombstones, receipts, devices and tokens"
                );
                more
            }
            Err(error) => {
                warn!(%error, "housekeeping did not finish; it continues next time");
                false
            }
        }
    }
}

pub(crate) struct Janitor;

pub(crate) struct JanitorState {
    housekeeping: Arc<dyn Housekeeping>,
    shared: Arc<ActorContext>,
    pulse: Pulse,
}

impl Actor for Janitor {
    type Msg = JanitorMsg;
    type State = JanitorState;
    type Arguments = (Arc<ActorContext>, Pulse, Arc<dyn Housekeeping>);

    async fn pre_start(
        &self,
        myself: ActorRef<JanitorMsg>,
        (shared, pulse, housekeeping): Self::Arguments,
    ) -> Result<JanitorState, ActorProcessingErr> {
        #[cfg(any(test, feature = "faults"))]
        cell::set(&shared.janitor, myself.clone());
        myself.send_after(SOON.min(shared.settings.housekeeping), || JanitorMsg::Collect);
        Ok(JanitorState { housekeeping, shared, pulse })
    }

    async fn handle(
        &self,
        myself: ActorRef<JanitorMsg>,
        message: JanitorMsg,
        state: &mut JanitorState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            JanitorMsg::Collect => {
                let settings = &state.shared.settings;
                let links = state.shared.connections.links(Scope::Global);
                let connected = links.iter().map(|link| (link.user, link.device.clone())).collect();
                let collecting = state.housekeeping.collect(connected);
                // One that takes too long is a database that has other things to do.
                let collected = tokio::time::timeout(settings.hang_timeout / SHARES, collecting).await;
                let pause =
                    if collected.unwrap_or(false) { SOON.min(settings.housekeeping) } else { settings.housekeeping };
                myself.send_after(pause, || JanitorMsg::Collect);
            }
            #[cfg(any(test, feature = "faults"))]
            JanitorMsg::Fault(fault) => fault.happen().await,
        }
        Ok(())
    }
}
