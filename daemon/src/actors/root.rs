//! The root of the actors: starts the branches and starts one that failed again, after a growing pause.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tracing::{error, warn};

use super::backoff::Backoff;
use super::bridge::BridgeActor;
use super::devices::Devices;
use super::feed::Feed;
use super::janitor::{Housekeeping, Janitor};
use super::live::{self, Shared};
use super::session;
use super::sessions::Sessions;
use crate::sync::Scope;

/// One branch below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Branch {
    Catalogue,
    Sessions,
    Devices,
    Feed,
    Bridge,
    Janitor,
}

const BRANCHES: [Branch; 6] =
    [Branch::Catalogue, Branch::Sessions, Branch::Devices, Branch::Feed, Branch::Bridge, Branch::Janitor];

pub(crate) struct Root;

pub(crate) struct State {
    shared: Arc<Shared>,
    housekeeping: Arc<dyn Housekeeping>,
    running: HashMap<ActorId, (Branch, Instant)>,
    failed: HashMap<Branch, Backoff>,
    due: Vec<Branch>,
}

impl Actor for Root {
    /// The pause of some failed branch is over.
    type Msg = ();
    type State = State;
    type Arguments = (Arc<Shared>, Arc<dyn Housekeeping>);

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        (shared, housekeeping): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state =
            State { shared, housekeeping, running: HashMap::new(), failed: HashMap::new(), due: Vec::new() };
        for branch in BRANCHES {
            state.begin(branch, false, myself.get_cell()).await?;
        }
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<()>, (): (), state: &mut State) -> Result<(), ActorProcessingErr> {
        for branch in std::mem::take(&mut state.due) {
            if let Err(reason) = state.begin(branch, true, myself.get_cell()).await {
                error!(?branch, %reason, "a branch did not start");
                state.again(branch, Instant::now(), &myself);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, reason) = match event {
            SupervisionEvent::ActorFailed(cell, reason) => (cell, reason.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        if let Some((branch, since)) = state.running.remove(&cell.get_id()) {
            warn!(?branch, reason, "a branch ended and is started again");
            state.again(branch, since, &myself);
        }
        Ok(())
    }
}

impl State {
    fn again(&mut self, branch: Branch, since: Instant, myself: &ActorRef<()>) {
        let pause = self.failed.entry(branch).or_default().after(since.elapsed());
        self.due.push(branch);
        myself.send_after(pause, || ());
    }

    async fn begin(&mut self, branch: Branch, again: bool, root: ActorCell) -> Result<(), SpawnErr> {
        let shared = Arc::clone(&self.shared);
        let id = match branch {
            Branch::Catalogue => {
                let started = session::start(Arc::clone(&shared), Scope::Global, again, root).await;
                let catalogue = started.ok_or_else(|| SpawnErr::StartupFailed("the catalogue".into()))?;
                live::hold(&shared.catalogue, catalogue.clone());
                catalogue.actor.get_id()
            }
            Branch::Sessions => Sessions::spawn_linked(None, Sessions, shared, root).await?.0.get_id(),
            Branch::Devices => Devices::spawn_linked(None, Devices, shared, root).await?.0.get_id(),
            Branch::Feed => Feed::spawn_linked(None, Feed, shared, root).await?.0.get_id(),
            Branch::Bridge => BridgeActor::spawn_linked(None, BridgeActor, shared, root).await?.0.get_id(),
            Branch::Janitor => {
                let arguments = (Arc::clone(&self.housekeeping), shared.settings.housekeeping);
                Janitor::spawn_linked(None, Janitor, arguments, root).await?.0.get_id()
            }
        };
        self.running.insert(id, (branch, Instant::now()));
        Ok(())
    }
}
