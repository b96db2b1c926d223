//! The actor that keeps the carriers running, and compares versions whenever messages may have been missed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::Bridge;
use super::heard::heard;
use super::route::Turn;
#[cfg(any(test, feature = "faults"))]
use crate::actors::fault::Fault;
use crate::actors::live::{self, Shared};
use crate::actors::pulse::Pulse;
use crate::carrier::{Ear, Heard, Started, Topic, notices};
use crate::service::Directory;
use crate::store::presence::LARGEST_NOTICE;
use crate::sync::Scope;

/// When to compare again after the database refused.
const RETRY: Duration = Duration::from_secs(1);

/// What the bridge is told.
pub(crate) enum BridgeMsg {
    /// Redis works, or does not, and why.
    Redis(Result<(), String>),
    /// Messages of these scopes may have been missed.
    Compare(Vec<Scope>),
    /// The pause after a failed comparison is over.
    Again,
    /// A carrier's task has ended, which it never does by itself.
    Ended,
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}

pub(crate) struct BridgeActor;

pub(crate) struct State {
    shared: Arc<Shared>,
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
    type State = State;
    type Arguments = (Arc<Shared>, Pulse);

    async fn pre_start(
        &self,
        myself: ActorRef<BridgeMsg>,
        (shared, pulse): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        #[cfg(any(test, feature = "faults"))]
        live::hold(&shared.bridge_actor, myself.clone());
        let bridge = &shared.bridge;
        // What the carriers of one that failed had in hand is lost.
        bridge.route().begin();
        bridge.owe_hello();
        let (mut tasks, trust) = (Vec::new(), &bridge.neighbours.trust);
        if let Some(redis) = &bridge.neighbours.redis {
            let Started { carrier, task } = redis.start(Arc::clone(trust), ear(&shared, &myself));
            live::hold(&bridge.redis, carrier);
            // Who came before the carrier was there.
            for (user, _) in shared.roster.sessions() {
                bridge.follow(user, &|| shared.roster.has(user));
            }
            tasks.push(watched(task, &myself));
        }
        if let Some(directory) = &bridge.neighbours.directory {
            let sender = Arc::new(Sender(Arc::clone(directory)));
            let Started { carrier, task } = notices::start(Arc::clone(trust), sender, LARGEST_NOTICE);
            live::hold(&bridge.notices, carrier);
            tasks.push(watched(task, &myself));
            directory.hear(Arc::new(notices::hearing(Arc::clone(trust), messages(&shared))));
        }
        Bridge::renew_now(&shared, None);
        Ok(State { shared, pulse, _tasks: tasks, behind: HashSet::new(), retrying: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<BridgeMsg>,
        message: BridgeMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            BridgeMsg::Redis(news) => state.redis(news),
            BridgeMsg::Compare(scopes) => {
                state.shared.look_for_missed();
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

impl State {
    /// One line in the log for each change.
    fn redis(&mut self, news: Result<(), String>) {
        let turn = self.shared.bridge.route().redis(news.is_ok());
        match (turn, news) {
            (Turn::Same, _) => {}
            (_, Ok(())) => info!("connected to Redis"),
            (_, Err(reason)) => warn!(reason, "Redis is away; other instances are told through PostgreSQL meanwhile"),
        }
        if turn != Turn::Same {
            self.shared.bridge.owe_hello();
            Bridge::renew_now(&self.shared, None);
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
                debug!(%error, "versions could not be compared");
                self.retrying = true;
                myself.send_after(RETRY, || BridgeMsg::Again);
            }
        }
    }
}

/// Sends notices through the database.
struct Sender(Arc<dyn Directory>);

#[async_trait]
impl notices::Notify for Sender {
    async fn notify(&self, messages: Vec<String>) -> bool {
        self.0.notify(messages).await.is_ok()
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
fn messages(shared: &Arc<Shared>) -> Ear {
    let shared = Arc::clone(shared);
    Arc::new(move |news| match news {
        Heard::Letter(letter) => heard(&shared, &letter),
        Heard::Late => shared.look_for_missed(),
        Heard::Stranger => shared.look_around_soon(),
        // Of a carrier that can be away; the others' is the actor's business.
        Heard::Up | Heard::Down(_) | Heard::Following(_) => {}
    })
}

/// What is more than a message is the actor's.
fn ear(shared: &Arc<Shared>, myself: &ActorRef<BridgeMsg>) -> Ear {
    let (messages, myself) = (messages(shared), myself.clone());
    Arc::new(move |heard| {
        let message = match heard {
            Heard::Letter(_) | Heard::Late | Heard::Stranger => return messages(heard),
            Heard::Up => BridgeMsg::Redis(Ok(())),
            Heard::Down(reason) => BridgeMsg::Redis(Err(reason)),
            Heard::Following(topics) => BridgeMsg::Compare(
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
