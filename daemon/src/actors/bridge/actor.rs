//! The actor that keeps the carriers running, and compares versions whenever messages may have been missed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::heard::heard;
use super::route::Turn;
use crate::actors::cell;
use crate::actors::context::ActorContext;
use crate::actors::mailbox::BridgeMsg;
use crate::actors::pulse::Pulse;
use crate::carrier::{CarrierEvent, Listener, Started, Topic, notices};
use crate::service::InstanceDirectory;
use crate::sync::Scope;
use crate::sync::presence::LARGEST_NOTICE;

/// The pause before the next comparison after the database refused.
const RETRY: Duration = Duration::from_secs(1);

/// The number of people whose devices are checked one by one; beyond it, everybody's are checked at once.
const ONE_BY_ONE: usize = 8;

pub(crate) struct BridgeActor;

pub(crate) struct BridgeState {
    shared: Arc<ActorContext>,
    pulse: Pulse,
    /// Ended with the actor.
    _tasks: Vec<Ending>,
    /// Scopes to be compared with the database.
    behind: HashSet<Scope>,
    retrying: bool,
}

/// Ends a task when it is dropped.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Actor for BridgeActor {
    type Msg = BridgeMsg;
    type State = BridgeState;
    type Arguments = (Arc<ActorContext>, Pulse);

    async fn pre_start(
        &self,
        myself: ActorRef<BridgeMsg>,
        (shared, pulse): Self::Arguments,
    ) -> Result<BridgeState, ActorProcessingErr> {
        #[cfg(any(test, feature = "faults"))]
        cell::set(&shared.bridge_actor, myself.clone());
        let bridge = &shared.bridge;
        // What the carriers of one that failed had in hand is lost.
        bridge.route().begin();
        bridge.owe_hello();
        let (mut tasks, trust) = (Vec::new(), &bridge.cluster.trust);
        if let Some(redis) = &bridge.cluster.redis {
            let Started { carrier, task } = redis.start(Arc::clone(trust), listener(&shared, &myself));
            cell::set(&bridge.redis, carrier);
            // Who came before the carrier was there.
            for (user, _) in shared.connections.sessions() {
                bridge.follow(user, &|| shared.connections.has(user));
            }
            tasks.push(watched(task, &myself));
        }
        if let Some(directory) = &bridge.cluster.directory {
            let sender = Arc::new(Sender(directory.clone()));
            let Started { carrier, task } = notices::start(Arc::clone(trust), sender, LARGEST_NOTICE);
            cell::set(&bridge.notices, carrier);
            tasks.push(watched(task, &myself));
            directory.subscribe(Arc::new(notices::hearing(Arc::clone(trust), messages(&shared))));
        }
        shared.renew_now(None);
        Ok(BridgeState { shared, pulse, _tasks: tasks, behind: HashSet::new(), retrying: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<BridgeMsg>,
        message: BridgeMsg,
        state: &mut BridgeState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            BridgeMsg::Redis(news) => state.redis(news),
            BridgeMsg::Compare(scopes) => {
                state.look_at(&scopes);
                state.behind.extend(scopes);
                state.compare(&myself).await;
            }
            BridgeMsg::Again => {
                state.retrying = false;
                state.compare(&myself).await;
            }
            #[cfg(any(test, feature = "faults"))]
            BridgeMsg::Fault(fault) => fault.happen().await,
            BridgeMsg::Ended => return Err("a carrier's task has ended".into()),
        }
        Ok(())
    }
}

impl BridgeState {
    /// One line in the log for each change.
    fn redis(&mut self, news: Result<(), String>) {
        let turn = self.shared.bridge.route().redis(news.is_ok());
        match (turn, news) {
            (Turn::Same, _) => {}
            (_, Ok(())) => info!("connected to Redis"),
            (_, Err(reason)) => warn!(reason, "Redis is unreachable; messages go through PostgreSQL NOTIFY meanwhile"),
        }
        if turn != Turn::Same {
            self.shared.bridge.owe_hello();
            self.shared.renew_now(None);
        }
    }

    /// Checks the devices of these scopes in the database, as messages about them may have been missed, too.
    fn look_at(&self, scopes: &[Scope]) {
        if scopes.len() > ONE_BY_ONE {
            return self.shared.missed_something();
        }
        for scope in scopes {
            if let Scope::User(user) = scope {
                self.shared.look_at_devices_of(*user);
            }
        }
    }

    /// Asks the database where the scopes are that may have moved unheard.
    async fn compare(&mut self, myself: &ActorRef<BridgeMsg>) {
        let shared = &self.shared;
        self.behind.retain(|scope| shared.session_of(*scope).is_some());
        if self.behind.is_empty() || self.retrying {
            return;
        }
        let scopes: Vec<Scope> = self.behind.iter().copied().collect();
        match shared.backend.heads(&scopes).await {
            Ok(heads) => {
                self.behind.clear();
                for (scope, version) in heads {
                    if let Some(session) = shared.session_of(scope) {
                        session.moved(version);
                    }
                }
            }
            Err(error) => {
                debug!(%error, "comparing versions with the database failed");
                self.retrying = true;
                myself.send_after(RETRY, || BridgeMsg::Again);
            }
        }
    }
}

/// Sends notices through the database.
struct Sender(InstanceDirectory);

#[async_trait]
impl notices::Notify for Sender {
    async fn notify(&self, messages: Vec<String>) -> bool {
        self.0.write(move |presence| presence.notify(messages.clone())).await.is_ok()
    }
}

/// Tells the actor when the task ends, and ends it with the actor.
fn watched(task: JoinHandle<()>, myself: &ActorRef<BridgeMsg>) -> Ending {
    let (myself, abort) = (myself.clone(), Ending(task));
    Ending(tokio::spawn(async move {
        let mut abort = abort;
        let _ = (&mut abort.0).await;
        let _ = myself.cast(BridgeMsg::Ended);
    }))
}

/// Messages are dealt with at once, on the carrier's task.
fn messages(shared: &Arc<ActorContext>) -> Listener {
    let shared = Arc::clone(shared);
    Arc::new(move |news| match news {
        CarrierEvent::Letter(letter) => heard(&shared, &letter),
        CarrierEvent::Late => shared.missed_something(),
        CarrierEvent::Stranger => shared.look_around_soon(),
        // Of a carrier that can be away; the others' is the actor's business.
        CarrierEvent::Up | CarrierEvent::Down(_) | CarrierEvent::Following(_) => {}
    })
}

/// Makes the carrier's listener: messages are handled at once, everything else goes to the actor.
fn listener(shared: &Arc<ActorContext>, myself: &ActorRef<BridgeMsg>) -> Listener {
    let (messages, myself) = (messages(shared), myself.clone());
    Arc::new(move |heard| {
        let message = match heard {
            CarrierEvent::Letter(_) | CarrierEvent::Late | CarrierEvent::Stranger => return messages(heard),
            CarrierEvent::Up => BridgeMsg::Redis(Ok(())),
            CarrierEvent::Down(reason) => BridgeMsg::Redis(Err(reason)),
            CarrierEvent::Following(topics) => BridgeMsg::Compare(
                topics
                    .into_iter()
                    .filter_map(|topic| match topic {
                        Topic::Scope(scope) => Some(scope),
                        Topic::Instance(_) => None,
                    })
                    .collect(),
            ),
        };
        // One that has just failed is started again, with carriers of its own.
        let _ = myself.cast(message);
    })
}
