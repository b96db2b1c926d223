//! The root of the actors: starts the branches, and starts one that failed or hung again, after a growing pause.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tracing::{error, warn};

use super::backoff::RestartBackoff;
use super::bridge::actor::BridgeActor;
use super::cell;
use super::close::CloseReason;
use super::context::ActorContext;
use super::devices::Devices;
#[cfg(any(test, feature = "faults"))]
use super::fault::Fault;
use super::feed::Feed;
use super::janitor::{Housekeeping, Janitor};
use super::presence::PresenceActor;
use super::pulse::{self, Pulse};
use super::session;
use super::sessions::Sessions;
use crate::metrics::{ActorKind, metrics};
use crate::sync::Scope;

/// One branch below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Branch {
    Catalogue,
    Sessions,
    Devices,
    Feed,
    Bridge,
    Presence,
    Janitor,
}

/// In the order of their start. Presence is there only where other instances can be.
const BRANCHES: [Branch; 7] = [
    Branch::Catalogue,
    Branch::Sessions,
    Branch::Devices,
    Branch::Feed,
    Branch::Bridge,
    Branch::Presence,
    Branch::Janitor,
];

impl Branch {
    fn kind(self) -> ActorKind {
        match self {
            Self::Catalogue => ActorKind::Catalogue,
            Self::Sessions => ActorKind::Sessions,
            Self::Devices => ActorKind::Devices,
            Self::Feed => ActorKind::Feed,
            Self::Bridge => ActorKind::Bridge,
            Self::Presence => ActorKind::Presence,
            Self::Janitor => ActorKind::Janitor,
        }
    }
}

/// The messages to the root.
pub(crate) enum RootMsg {
    /// The pause of some failed branch is over.
    Restart,
    /// Checks for hung actors.
    CheckHung,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

pub(crate) struct Root;

pub(crate) struct RootState {
    shared: Arc<ActorContext>,
    housekeeping: Arc<dyn Housekeeping>,
    running: HashMap<ActorId, Running>,
    failed: HashMap<Branch, RestartBackoff>,
    due: Vec<Branch>,
}

/// A branch at work.
struct Running {
    branch: Branch,
    cell: ActorCell,
    pulse: Pulse,
    since: Instant,
}

impl Actor for Root {
    type Msg = RootMsg;
    type State = RootState;
    type Arguments = (Arc<ActorContext>, Arc<dyn Housekeeping>);

    async fn pre_start(
        &self,
        myself: ActorRef<RootMsg>,
        (shared, housekeeping): Self::Arguments,
    ) -> Result<RootState, ActorProcessingErr> {
        myself.send_interval(pulse::interval(shared.settings.hang_timeout), || RootMsg::CheckHung);
        let mut state =
            RootState { shared, housekeeping, running: HashMap::new(), failed: HashMap::new(), due: Vec::new() };
        for branch in BRANCHES {
            state.start_branch(branch, false, myself.get_cell()).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMsg>,
        message: RootMsg,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            #[cfg(any(test, feature = "faults"))]
            RootMsg::Fault(fault) => fault.happen().await,
            RootMsg::Restart => {
                for branch in std::mem::take(&mut state.due) {
                    if let Err(reason) = state.start_branch(branch, true, myself.get_cell()).await {
                        error!(?branch, %reason, "a branch did not start");
                        state.schedule_restart(branch, Instant::now(), &myself);
                    }
                }
            }
            RootMsg::CheckHung => {
                let patience = state.shared.settings.hang_timeout;
                let hung = state.running.extract_if(|_, running| running.pulse.is_hung(patience));
                for (_, running) in hung.collect::<Vec<_>>() {
                    running.cell.kill();
                    state.ended(&running, "it hung", true, &myself);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMsg>,
        event: SupervisionEvent,
        state: &mut RootState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, reason) = match event {
            SupervisionEvent::ActorFailed(cell, reason) => (cell, reason.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        if let Some(running) = state.running.remove(&cell.get_id()) {
            state.ended(&running, &reason, false, &myself);
        }
        Ok(())
    }
}

impl RootState {
    /// A branch has ended, or is as good as gone.
    fn ended(&mut self, running: &Running, reason: &str, hung: bool, myself: &ActorRef<RootMsg>) {
        let branch = running.branch;
        warn!(?branch, reason, "a branch of actors ended and is restarted");
        metrics().restarted(branch.kind(), hung);
        if branch == Branch::Devices {
            // The devices' actors end with their supervisor, and an idle socket would not notice before its heartbeat.
            self.shared.connections.links(Scope::Global).iter().for_each(|link| link.close(CloseReason::Internal));
        }
        self.schedule_restart(branch, running.since, myself);
    }

    fn schedule_restart(&mut self, branch: Branch, since: Instant, myself: &ActorRef<RootMsg>) {
        let pause = self.failed.entry(branch).or_default().after(since.elapsed());
        self.due.push(branch);
        myself.send_after(pause, || RootMsg::Restart);
    }

    async fn start_branch(&mut self, branch: Branch, is_restart: bool, root: ActorCell) -> Result<(), SpawnErr> {
        let shared = Arc::clone(&self.shared);
        let pulse = Pulse::default();
        let with = (Arc::clone(&shared), pulse.clone());
        let (cell, pulse) = match branch {
            Branch::Catalogue => {
                let started = session::start(Arc::clone(&shared), Scope::Global, is_restart, root).await;
                let catalogue = started.ok_or_else(|| SpawnErr::StartupFailed("the catalogue".into()))?;
                cell::set(&shared.catalogue, catalogue.clone());
                (catalogue.actor.get_cell(), catalogue.pulse)
            }
            Branch::Sessions => (Sessions::spawn_linked(None, Sessions, with, root).await?.0.get_cell(), pulse),
            Branch::Devices => (Devices::spawn_linked(None, Devices, with, root).await?.0.get_cell(), pulse),
            Branch::Feed => (Feed::spawn_linked(None, Feed, with, root).await?.0.get_cell(), pulse),
            Branch::Bridge => (BridgeActor::spawn_linked(None, BridgeActor, with, root).await?.0.get_cell(), pulse),
            Branch::Presence => {
                let Some(directory) = shared.bridge.cluster.directory.clone() else { return Ok(()) };
                let arguments = (with.0, with.1, directory);
                (PresenceActor::spawn_linked(None, PresenceActor, arguments, root).await?.0.get_cell(), pulse)
            }
            Branch::Janitor => {
                let arguments = (with.0, with.1, Arc::clone(&self.housekeeping));
                (Janitor::spawn_linked(None, Janitor, arguments, root).await?.0.get_cell(), pulse)
            }
        };
        self.running.insert(cell.get_id(), Running { branch, cell, pulse, since: Instant::now() });
        Ok(())
    }
}
