//! Supervises the Device actors: one that fails closes its socket with 1011 and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tracing::warn;

use super::close::CloseReason;
use super::device::{Device, DeviceMsg, Setup};
use super::link::Link;
use super::live::{self, Shared};

/// What the supervisor is asked.
pub(crate) enum DevicesMsg {
    /// Start the actor of a device that has connected. None when it does not start.
    Start(Box<Setup>, RpcReplyPort<Option<ActorRef<DeviceMsg>>>),
}

pub(crate) struct Devices;

impl Actor for Devices {
    type Msg = DevicesMsg;
    type State = HashMap<ActorId, Arc<Link>>;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<DevicesMsg>,
        shared: Arc<Shared>,
    ) -> Result<Self::State, ActorProcessingErr> {
        live::hold(&shared.devices, myself);
        Ok(HashMap::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<DevicesMsg>,
        message: DevicesMsg,
        running: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let DevicesMsg::Start(setup, reply) = message;
        let link = Arc::clone(&setup.link);
        match Device::spawn_linked(None, Device, setup, myself.get_cell()).await {
            Ok((device, _)) => {
                running.insert(device.get_id(), link);
                if let Err(ractor::MessagingErr::SendErr(Some(device))) = reply.send(Some(device)) {
                    device.stop(None);
                }
            }
            Err(error) => {
                warn!(%error, "a device's actor did not start");
                let _ = reply.send(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<DevicesMsg>,
        event: SupervisionEvent,
        running: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                if let Some(link) = running.remove(&cell.get_id()) {
                    warn!(user = %link.user, device = %link.device, %error, "a device's actor failed");
                    link.close(CloseReason::Internal);
                }
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                running.remove(&cell.get_id());
            }
            _ => {}
        }
        Ok(())
    }
}
