//! Supervises the Device actors: one that fails closes its socket with 1011 and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tracing::warn;

use super::cell;
use super::close::CloseReason;
use super::context::ActorContext;
use super::device::Device;
use super::device::mailbox::{DeviceMsg, Setup};
use super::link::Link;
use super::mailbox::DevicesMsg;
use super::pulse::{self, Pulse};
use crate::metrics::{ActorKind, metrics};

pub(crate) struct Devices;

pub(crate) struct DevicesState {
    shared: Arc<ActorContext>,
    pulse: Pulse,
    running: HashMap<ActorId, (Arc<Link>, ActorRef<DeviceMsg>)>,
}

impl Actor for Devices {
    type Msg = DevicesMsg;
    type State = DevicesState;
    type Arguments = (Arc<ActorContext>, Pulse);

    async fn pre_start(
        &self,
        myself: ActorRef<DevicesMsg>,
        (shared, pulse): Self::Arguments,
    ) -> Result<DevicesState, ActorProcessingErr> {
        let patience = shared.settings.hang_timeout;
        myself.send_interval(pulse::interval(patience), || DevicesMsg::CheckHung);
        cell::set(&shared.devices, myself);
        Ok(DevicesState { shared, pulse, running: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<DevicesMsg>,
        message: DevicesMsg,
        state: &mut DevicesState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            DevicesMsg::Start(setup, reply) => {
                let device = state.start(setup, &myself).await;
                if let Err(ractor::MessagingErr::SendErr(Some(device))) = reply.send(device) {
                    device.stop(None);
                }
            }
            DevicesMsg::CheckHung => state.check_hung(),
            #[cfg(any(test, feature = "faults"))]
            DevicesMsg::Fault(fault) => fault.happen().await,
            #[cfg(any(test, feature = "faults"))]
            DevicesMsg::Within(user, device, fault) => {
                let theirs = state.running.values().filter(|(link, _)| link.user == user && link.device == device);
                theirs.for_each(|(_, actor)| drop(actor.cast(DeviceMsg::Fault(fault))));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<DevicesMsg>,
        event: SupervisionEvent,
        state: &mut DevicesState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                if let Some((link, _)) = state.running.remove(&cell.get_id()) {
                    failed(&link, &error.to_string(), false);
                }
            }
            SupervisionEvent::ActorTerminated(cell, _, _) => {
                state.running.remove(&cell.get_id());
            }
            _ => {}
        }
        Ok(())
    }
}

impl DevicesState {
    async fn start(&mut self, setup: Box<Setup>, myself: &ActorRef<DevicesMsg>) -> Option<ActorRef<DeviceMsg>> {
        let link = Arc::clone(&setup.link);
        match Device::spawn_linked(None, Device, (Arc::clone(&self.shared), setup), myself.get_cell()).await {
            Ok((device, _)) => {
                self.running.insert(device.get_id(), (link, device.clone()));
                Some(device)
            }
            Err(error) => {
                warn!(%error, "a device's actor did not start");
                None
            }
        }
    }

    /// Ends the devices that hang.
    fn check_hung(&mut self) {
        let patience = self.shared.settings.hang_timeout;
        for (_, (link, device)) in self.running.extract_if(|_, (link, _)| link.pulse.is_hung(patience)) {
            device.kill();
            failed(&link, "it hung", true);
        }
    }
}

/// The socket closes; its client comes back and resumes.
fn failed(link: &Link, error: &str, hung: bool) {
    warn!(user = %link.user, device = %link.device, error, "a device's actor failed");
    metrics().restarted(ActorKind::Device, hung);
    link.close(CloseReason::Internal);
}
