//! The actor that keeps in the database which devices are connected here, and that this instance is alive; it tells the
//! others of a person's devices who has come and gone. Only where several instances can share the database.

pub(crate) mod queue;
pub(crate) mod rumours;

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, warn};
use uuid::Uuid;

use super::bridge::envelope::{Addressees, Message};
use super::bridge::heard::heard;
use super::cell;
use super::close::CloseReason;
use super::context::ActorContext;
use super::link::Link;
use super::mailbox::PresenceMsg;
use super::message::{self, ServerMessage};
use super::pulse::Pulse;
use crate::carrier::Topic;
use crate::service::{InstanceDirectory, ServiceError};
use crate::sync::presence::{Arrival, ClusterView, DevicePlace, Differs, Gone, Lease, Renewed};
use crate::sync::{DeviceId, Scope, UserId};
use queue::{Group, PresenceChange};

/// The number of renewals within a lease's time.
const RENEWALS: u32 = 3;
/// The time limit for the database, as a part of the lease, so that a renewal comes in time.
const SHARES: u32 = 6;
/// The least time between two reads of the instances, or of their devices, however often somebody gives reason to.
const LOOK_AROUND: Duration = Duration::from_millis(500);

impl ActorContext {
    /// Enters a device that has connected. False when the database could not be reached.
    pub(crate) async fn came(&self, link: &Arc<Link>) -> bool {
        if self.bridge.cluster.directory.is_none() {
            return true;
        }
        let (told, entered) = oneshot::channel();
        self.moved(PresenceChange::Joined(Arc::clone(link), Some(told)));
        self.in_time(async { entered.await.ok() }).await.unwrap_or(false)
    }

    /// Notes that a device has come or gone.
    pub(crate) fn moved(&self, what: PresenceChange) {
        self.moves.with(|waiting| waiting.push_back(what));
        if let Some(presence) = cell::get(&self.presence) {
            let _ = presence.cast(PresenceMsg::Moved);
        }
    }

    /// Tells a person's other devices, wherever they are, that this one has come or gone.
    fn announce(&self, user: UserId, device: &DeviceId, device_type: Option<&str>, is_online: bool) {
        let presence = ServerMessage::Presence { device_id: device, device_type, is_online };
        let bytes = message::encode(&presence, self.backend.now());
        let to = Addressees { user: Some(user), except: Some(device.clone()), ..Addressees::default() };
        self.bridge.pass(to, &bytes);
        self.connections.tell_others(user, Some(device), &bytes);
    }
}

pub(crate) struct PresenceActor;

pub(crate) struct PresenceState {
    shared: Arc<ActorContext>,
    pulse: Pulse,
    directory: InstanceDirectory,
    /// The time to renew the lease, before anything else is done.
    due: Instant,
    /// The time of the last read of the instances.
    looked: Option<Instant>,
    /// The time of the last comparison of the connected devices with the database.
    compared: Option<Instant>,
    /// The database was away when it was last asked; said once.
    is_away: bool,
}

impl Actor for PresenceActor {
    type Msg = PresenceMsg;
    type State = PresenceState;
    type Arguments = (Arc<ActorContext>, Pulse, InstanceDirectory);

    async fn pre_start(
        &self,
        myself: ActorRef<PresenceMsg>,
        (shared, pulse, directory): Self::Arguments,
    ) -> Result<PresenceState, ActorProcessingErr> {
        cell::set(&shared.presence, myself.clone());
        shared.rumours.look_around();
        shared.rumours.compare();
        myself.cast(PresenceMsg::Renew)?;
        myself.cast(PresenceMsg::Moved)?;
        myself.cast(PresenceMsg::Doubted)?;
        myself.cast(PresenceMsg::Missed)?;
        myself.send_after(shared.settings.sweep, || PresenceMsg::Compare);
        Ok(PresenceState {
            shared,
            pulse,
            directory,
            due: Instant::now(),
            looked: None,
            compared: None,
            is_away: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<PresenceMsg>,
        message: PresenceMsg,
        state: &mut PresenceState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            #[cfg(any(test, feature = "faults"))]
            PresenceMsg::Fault(fault) => fault.happen().await,
            PresenceMsg::Moved => state.take().await,
            PresenceMsg::Renew => {
                myself.send_after(state.shared.bridge.cluster.lease / RENEWALS, || PresenceMsg::Renew);
                state.renew().await;
            }
            PresenceMsg::RenewNow(newcomer) => {
                state.renew().await;
                if let Some(newcomer) = newcomer {
                    // What was told before this instance knew of it may have gone another way.
                    state.shared.bridge.tell(Topic::Instance(newcomer), &Message::Missed);
                }
            }
            PresenceMsg::LookAround => match pause_after(state.looked) {
                Some(pause) => drop(myself.send_after(pause, || PresenceMsg::LookAround)),
                None => {
                    state.shared.rumours.look_around();
                    state.renew().await;
                }
            },
            PresenceMsg::Missed => match pause_after(state.compared) {
                Some(pause) => drop(myself.send_after(pause, || PresenceMsg::Missed)),
                None => {
                    state.shared.rumours.compare();
                    state.stay_alive().await;
                    state.compare().await;
                }
            },
            PresenceMsg::Doubted => {
                state.stay_alive().await;
                state.settle_doubts().await;
            }
            PresenceMsg::Compare => {
                myself.send_after(state.shared.settings.sweep, || PresenceMsg::Compare);
                state.stay_alive().await;
                state.compare().await;
            }
        }
        Ok(())
    }
}

/// The pause before the same question may go to the database again.
fn pause_after(asked: Option<Instant>) -> Option<Duration> {
    asked
        .and_then(|asked| (asked + LOOK_AROUND).checked_duration_since(Instant::now()))
        .filter(|pause| !pause.is_zero())
}

fn places(links: &[Arc<Link>]) -> Vec<DevicePlace> {
    links.iter().map(|link| link.place()).collect()
}

impl PresenceState {
    fn me(&self) -> Uuid {
        self.shared.bridge.cluster.me()
    }

    /// Asks the database, with a time limit so short that the lease can still be renewed.
    async fn asked<T>(&self, asking: impl Future<Output = Result<T, ServiceError>>) -> Result<T, ServiceError> {
        self.pulse.heartbeat();
        let within = self.shared.bridge.cluster.lease / SHARES;
        let late = Err(ServiceError::Unavailable { retry_after: within });
        tokio::time::timeout(within, asking).await.unwrap_or(late)
    }

    /// Renews the lease when it is time, whatever else there is to do.
    async fn stay_alive(&mut self) {
        if self.due <= Instant::now() {
            self.renew().await;
        }
    }

    /// Renews the lease and finds out about the others.
    async fn renew(&mut self) {
        let cluster = &self.shared.bridge.cluster;
        let lease = Lease {
            me: cluster.me(),
            name: cluster.name.clone(),
            seconds: cluster.lease.as_secs(),
            hears_redis: self.shared.bridge.hears_redis(),
        };
        let asked = Instant::now();
        let Renewed { is_new, now } =
            match self.asked(self.directory.write(move |presence| presence.renew(lease.clone()))).await {
                Ok(renewed) => renewed,
                Err(error) => return self.away(&error),
            };
        self.shared.bridge.cluster.trust.tick(asked, Instant::now(), now);
        self.due = asked + self.shared.bridge.cluster.lease / RENEWALS;
        self.is_away = false;
        if is_new {
            self.shared.bridge.owe_hello();
        }
        let (asked, me) = (Instant::now(), self.me());
        self.looked = Some(asked);
        match self.asked(self.directory.write(move |presence| presence.look_around(me))).await {
            Ok(around) => {
                self.met(asked, &around).await;
            }
            Err(error) => self.away(&error),
        }
        if is_new {
            self.compare().await;
        }
    }

    /// Takes note of who there is, and hears what those had said that were not known.
    async fn met(&mut self, asked: Instant, around: &ClusterView) {
        let (bridge, trust) = (&self.shared.bridge, &self.shared.bridge.cluster.trust);
        let had_elders = trust.has_elders();
        let said_before = bridge.others(asked, &around.others);
        if trust.has_elders() && !had_elders {
            // What it has told so far was not taken for anything.
            bridge.owe_hello();
            self.shared.missed_something();
        }
        self.gone(&around.gone);
        let notice = bridge.say_hello();
        said_before.iter().for_each(|letter| heard(&self.shared, letter));
        if let Some(notice) = notice
            && let Err(error) =
                self.asked(self.directory.write(move |presence| presence.notify(vec![notice.clone()]))).await
        {
            self.away(&error);
        }
    }

    /// Tells of devices that are nowhere any more.
    fn gone(&self, gone: &[Gone]) {
        for gone in gone {
            self.shared.announce(gone.user, &gone.device, gone.device_type.as_deref(), false);
        }
    }

    fn away(&mut self, error: &ServiceError) {
        if !std::mem::replace(&mut self.is_away, true) {
            warn!(%error, "connected devices can't be stored for other instances until the database is back");
        }
    }

    /// Enters everything that waits.
    async fn take(&mut self) {
        loop {
            let group = self.shared.moves.with(queue::next);
            if group.came.is_empty() && group.went.is_empty() {
                return;
            }
            self.stay_alive().await;
            self.enter_group(group).await;
        }
    }

    async fn enter_group(&mut self, group: Group) {
        if !group.went.is_empty() {
            self.went(&group.went).await;
        }
        if group.came.is_empty() {
            return;
        }
        let (links, waiting): (Vec<_>, Vec<_>) = group.came.into_iter().unzip();
        // A lease that is no longer known refuses devices; it is known again after a renewal.
        let mut entered = self.came(&links).await;
        if entered.is_err() {
            self.renew().await;
            entered = self.came(&links).await;
        }
        if let Err(error) = &entered {
            self.away(error);
        }
        for waits in waiting.into_iter().flatten() {
            let _ = waits.send(entered.is_ok());
        }
    }

    async fn came(&mut self, links: &[Arc<Link>]) -> Result<(), ServiceError> {
        let arrivals = links
            .iter()
            .map(|link| Arrival { place: link.place(), device_type: link.device_type.as_deref().map(Into::into) });
        let (me, arrivals) = (self.me(), arrivals.collect::<Vec<_>>());
        let entered = self.asked(self.directory.write(move |presence| presence.enter(me, arrivals.clone()))).await?;
        for entered in entered {
            let Some(link) = links.iter().find(|link| link.is(&entered.place)) else { continue };
            link.set_entered();
            match entered.former {
                Some((instance, _)) if instance == self.me() => {}
                Some((former, _)) => self.shared.bridge.doubt(Topic::Instance(former), link.user, &link.device),
                // Also of one that was entered before: it may have been swept with this instance, and told to have gone.
                None => self.shared.announce(link.user, &link.device, link.device_type.as_deref(), true),
            }
        }
        Ok(())
    }

    async fn went(&mut self, links: &[Arc<Link>]) {
        let places = places(links);
        // Where the database can't say whether a device is elsewhere by now, it is not here at least.
        let (me, left) = (self.me(), places.clone());
        let leaving = self.directory.write(move |presence| presence.leave(me, left.clone()));
        let gone = self.asked(leaving).await.unwrap_or_else(|error| {
            self.away(&error);
            places
        });
        for link in gone.iter().filter_map(|place| links.iter().find(|link| link.is(place))) {
            self.shared.announce(link.user, &link.device, link.device_type.as_deref(), false);
        }
    }

    /// Finds what was lost: devices that the database does not know, or that have connected elsewhere.
    async fn compare(&mut self) {
        self.compared = Some(Instant::now());
        let mut links = self.shared.connections.links(Scope::Global);
        links.retain(|link| link.is_entered());
        let (me, held) = (self.me(), places(&links));
        let comparing = self.directory.write(move |presence| presence.compare(me, held.clone()));
        let compared = match self.asked(comparing).await {
            Ok(compared) => compared,
            Err(error) => {
                debug!(%error, "comparing the connected devices with the database failed; retrying soon");
                return self.shared.compare_soon();
            }
        };
        self.gone(&compared.gone);
        self.settle(&links, compared.differing);
    }

    /// Asks about the devices that another instance says may have to go.
    async fn settle_doubts(&mut self) {
        let doubted = self.shared.rumours.doubted();
        let mut links: Vec<_> =
            doubted.iter().filter_map(|(user, device)| self.shared.connections.link(*user, device)).collect();
        links.retain(|link| link.is_entered());
        if links.is_empty() {
            return;
        }
        let (me, held) = (self.me(), places(&links));
        match self.asked(self.directory.read(move |presence| presence.differing(me, held.clone()))).await {
            Ok(differing) => self.settle(&links, differing),
            Err(error) => {
                debug!(%error, "checking devices that may be connected elsewhere failed; the next sweep retries")
            }
        }
    }

    fn settle(&self, links: &[Arc<Link>], differing: Vec<(DevicePlace, Differs)>) {
        for (place, differs) in differing {
            let Some(link) = links.iter().find(|link| link.is(&place)) else { continue };
            match differs {
                Differs::Missing => self.shared.moved(PresenceChange::Joined(Arc::clone(link), None)),
                Differs::OnOtherInstance => link.close(CloseReason::Replaced),
            }
        }
    }
}
