//! The registry of the users' sessions: starts one with a user's first device, lets it go after the last,
//! and starts one that failed again, with its devices, which notice nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tracing::warn;

use super::backoff::RestartBackoff;
use super::cell;
use super::context::ActorContext;
use super::mailbox::SessionsMsg;
use super::pulse::{self, Pulse};
use super::session;
use super::session::mailbox::SessionRef;
use crate::metrics::{ActorKind, metrics};
use crate::sync::{Scope, UserId};

pub(crate) struct Sessions;

pub(crate) struct SessionsState {
    shared: Arc<ActorContext>,
    pulse: Pulse,
    running: HashMap<ActorId, (UserId, Instant, SessionRef)>,
    failed: HashMap<UserId, RestartBackoff>,
    pausing: HashMap<UserId, Duration>,
}

impl Actor for Sessions {
    type Msg = SessionsMsg;
    type State = SessionsState;
    type Arguments = (Arc<ActorContext>, Pulse);

    async fn pre_start(
        &self,
        myself: ActorRef<SessionsMsg>,
        (shared, pulse): Self::Arguments,
    ) -> Result<SessionsState, ActorProcessingErr> {
        myself.send_interval(pulse::interval(shared.settings.hang_timeout), || SessionsMsg::CheckHung);
        cell::set(&shared.sessions, myself.clone());
        // After a failure of the registry itself: every user who is still connected gets a session again.
        shared.connections.forget_sessions();
        for (user, _) in shared.connections.sessions() {
            myself.cast(SessionsMsg::Restart(user))?;
        }
        Ok(SessionsState { shared, pulse, running: HashMap::new(), failed: HashMap::new(), pausing: HashMap::new() })
    }

    async fn handle(
        &self,
        myself: ActorRef<SessionsMsg>,
        message: SessionsMsg,
        state: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            SessionsMsg::Open(user, reply) => {
                let session = match state.shared.connections.session(user) {
                    Some(session) => Some(session),
                    None if state.pausing.contains_key(&user) => None,
                    None => state.begin(user, false, &myself).await,
                };
                let _ = reply.send(session);
            }
            SessionsMsg::Close(user) => {
                if let Some(session) = state.shared.connections.remove_if_idle(user) {
                    session.actor.stop(None);
                }
                if !state.pausing.contains_key(&user) {
                    state.failed.remove(&user);
                }
            }
            SessionsMsg::Restart(user) => {
                state.pausing.remove(&user);
                if state.shared.connections.session(user).is_none() {
                    state.begin(user, true, &myself).await;
                }
            }
            SessionsMsg::CheckHung => state.check_hung(&myself),
            #[cfg(any(test, feature = "faults"))]
            SessionsMsg::Fault(fault) => fault.happen().await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SessionsMsg>,
        event: SupervisionEvent,
        state: &mut SessionsState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, failure) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, Some(error.to_string())),
            SupervisionEvent::ActorTerminated(cell, _, _) => (cell, None),
            _ => return Ok(()),
        };
        let Some((user, since, _)) = state.running.remove(&cell.get_id()) else { return Ok(()) };
        if let Some(error) = failure {
            state.again(user, since, &error, false, &myself);
        }
        Ok(())
    }
}

impl SessionsState {
    /// Ends the sessions that hang.
    fn check_hung(&mut self, myself: &ActorRef<SessionsMsg>) {
        let patience = self.shared.settings.hang_timeout;
        let hung = self.running.extract_if(|_, (_, _, session)| session.pulse.is_hung(patience));
        for (_, (user, since, session)) in hung.collect::<Vec<_>>() {
            session.actor.kill();
            self.again(user, since, "it hung", true, myself);
        }
    }

    fn again(&mut self, user: UserId, since: Instant, error: &str, hung: bool, myself: &ActorRef<SessionsMsg>) {
        let pause = self.failed.entry(user).or_default().after(since.elapsed());
        warn!(%user, error, ?pause, "a session failed and is restarted");
        metrics().restarted(ActorKind::Session, hung);
        self.shared.connections.set_session(user, None);
        self.pausing.insert(user, pause);
        myself.send_after(pause, move || SessionsMsg::Restart(user));
    }

    async fn begin(&mut self, user: UserId, resumes: bool, myself: &ActorRef<SessionsMsg>) -> Option<SessionRef> {
        let shared = Arc::clone(&self.shared);
        let session = session::start(shared, Scope::User(user), resumes, myself.get_cell()).await?;
        self.running.insert(session.actor.get_id(), (user, Instant::now(), session.clone()));
        if !self.shared.connections.set_session(user, Some(session.clone())) {
            // The last device went while the session was being started.
            if let Some(session) = self.shared.connections.remove_if_idle(user) {
                session.actor.stop(None);
            }
            session.actor.stop(None);
            return None;
        }
        Some(session)
    }
}
