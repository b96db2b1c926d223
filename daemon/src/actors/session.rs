//! The actor that brings one scope's changes to the devices that read it: a user's session, or the catalogue.
//!
//! A thin shell round [`Order`]: it reads pages, encodes each change once and puts it into the devices' outboxes.

pub(crate) mod mailbox;
mod order;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tracing::{debug, warn};

use super::backend::Backend;
use super::context::ActorContext;
use super::frame::ChangeFrame;
use super::pulse::Pulse;
use crate::metrics::metrics;
use crate::service::{Committed, ServiceError};
use crate::sync::{ChangeRecord, Scope};
use mailbox::{Backlog, Guess, SessionMsg, SessionRef};
use order::{Next, Order};

/// Changes that are handed on without a pause, when many were read at once.
const CHUNK: usize = 50;
/// The pause, in which devices that read can empty their outboxes. The session does not wait for a slow one.
const BREATH: Duration = Duration::from_millis(2);
/// The pause before the next read after the database refused.
const RETRY: Duration = Duration::from_secs(1);

/// Starts a session below `supervisor`. `resumes` when devices may be waiting for what was missed.
pub(crate) async fn start(
    shared: Arc<ActorContext>,
    scope: Scope,
    resumes: bool,
    supervisor: ractor::ActorCell,
) -> Option<SessionRef> {
    let backlog = Arc::new(Backlog::default());
    let pulse = Pulse::default();
    let arguments = (shared, Arc::clone(&backlog), pulse.clone(), resumes);
    match Session::spawn_linked(None, Session { scope }, arguments, supervisor).await {
        Ok((actor, _)) => Some(SessionRef { actor, pulse, backlog }),
        Err(error) => {
            warn!(%scope, %error, "a session did not start");
            None
        }
    }
}

struct Session {
    scope: Scope,
}

struct SessionState {
    shared: Arc<ActorContext>,
    backlog: Arc<Backlog>,
    pulse: Pulse,
    order: Option<Order>,
    /// Something may have been missed that no hint tells of.
    behind: bool,
    retrying: bool,
}

impl Actor for Session {
    type Msg = SessionMsg;
    type State = SessionState;
    type Arguments = (Arc<ActorContext>, Arc<Backlog>, Pulse, bool);

    async fn pre_start(
        &self,
        myself: ActorRef<SessionMsg>,
        (shared, backlog, pulse, resumes): Self::Arguments,
    ) -> Result<SessionState, ActorProcessingErr> {
        if resumes {
            backlog.checking.store(true, Ordering::Release);
            myself.cast(SessionMsg::Check)?;
        }
        Ok(SessionState { shared, backlog, pulse, order: None, behind: resumes, retrying: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<SessionMsg>,
        message: SessionMsg,
        state: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        let done = match message {
            SessionMsg::Committed(commit) => {
                let size = commit.records.iter().map(ChangeRecord::size).sum();
                state.backlog.bytes.fetch_sub(size, Ordering::Relaxed);
                self.committed(state, commit).await
            }
            SessionMsg::Check => self.check(state).await,
            SessionMsg::Attach(subscriber, reply) => {
                let begun = self.begin(state).await;
                if begun.is_ok() {
                    subscriber.joined(self.scope, state.order.as_ref().map_or(0, Order::last));
                }
                let _ = reply.send(begun.is_ok());
                if state.behind { self.check(state).await } else { Ok(()) }
            }
            SessionMsg::Settled(version, reply) => {
                let commit = Committed { scope: self.scope, version, records: Vec::new() };
                let done = self.committed(state, commit).await;
                let _ = reply.send(());
                done
            }
            #[cfg(any(test, feature = "faults"))]
            SessionMsg::Fault(fault) => {
                fault.happen().await;
                Ok(())
            }
        };
        if let Err(error) = done {
            debug!(scope = %self.scope, %error, "changes wait for the database");
            state.behind = true;
            self.retry(&myself, state);
        }
        Ok(())
    }
}

impl Session {
    /// Finds out where to begin: where the slowest is that was served before, else at the scope's newest.
    async fn begin(&self, state: &mut SessionState) -> Result<(), ServiceError> {
        if state.order.is_some() {
            return Ok(());
        }
        let (links, waiters) =
            (state.shared.connections.links(self.scope), state.shared.connections.waiters(self.scope));
        let served = links.iter().filter_map(|link| link.outbox().seen(self.scope));
        let last = match served.chain(waiters.iter().filter_map(|waiter| waiter.seen(self.scope))).min() {
            Some(version) => {
                state.behind = true;
                version
            }
            None => {
                let heads = state.shared.backend.heads(&[self.scope]).await?;
                heads.iter().find(|(scope, _)| *scope == self.scope).map_or(0, |(_, version)| *version)
            }
        };
        state.order = Some(Order::at(last));
        state.backlog.last.store(last, Ordering::Release);
        Ok(())
    }

    async fn committed(&self, state: &mut SessionState, commit: Committed) -> Result<(), ServiceError> {
        let version = commit.version;
        state.backlog.hinted.fetch_max(version, Ordering::AcqRel);
        self.begin(state).await?;
        match state.order.as_mut().map(|order| order.committed(commit)) {
            Some(Next::Deliver(records)) => self.deliver(state, &records),
            Some(Next::Read) => {
                metrics().holes_filled.inc();
                self.read(state, None).await?;
            }
            Some(Next::Nothing) | None => {}
        }
        Ok(())
    }

    /// Looks whether somebody hinted at more than was handed on.
    async fn check(&self, state: &mut SessionState) -> Result<(), ServiceError> {
        state.backlog.checking.store(false, Ordering::Release);
        state.retrying = false;
        let told = state.backlog.told().take();
        if told.is_some() {
            metrics().bridge_reads.inc();
            state.behind = true;
        }
        self.begin(state).await?;
        let hinted = state.backlog.hinted.load(Ordering::Acquire);
        if state.behind || state.order.as_ref().is_some_and(|order| hinted > order.last()) {
            self.read(state, told.flatten()).await?;
            state.behind = false;
        }
        Ok(())
    }

    /// Reads everything after what was handed on.
    async fn read(&self, state: &mut SessionState, likely: Guess) -> Result<(), ServiceError> {
        let backend: Arc<dyn Backend> = Arc::clone(&state.shared.backend);
        while let Some(after) = state.order.as_ref().map(Order::last) {
            state.pulse.heartbeat();
            let page = backend.scope_page(self.scope, after, likely).await?;
            let Some((records, more)) = state.order.as_mut().map(|order| order.page(page)) else { break };
            for (index, some) in records.chunks(CHUNK).enumerate() {
                if index > 0 {
                    tokio::time::sleep(BREATH).await;
                }
                self.deliver(state, some);
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// Encodes each change once and hands it to everybody.
    fn deliver(&self, state: &SessionState, records: &[ChangeRecord]) {
        if let Some(order) = &state.order {
            state.backlog.last.store(order.last(), Ordering::Release);
        }
        for waiter in state.shared.connections.waiters(self.scope) {
            records.iter().for_each(|record| waiter.change(record));
        }
        let links = state.shared.connections.links(self.scope);
        if links.is_empty() {
            return;
        }
        let now = state.shared.backend.now();
        for record in records {
            let frame = ChangeFrame::of(record, now);
            links.iter().for_each(|link| link.change(&frame));
        }
        metrics().changes_fanned_out.inc_by((records.len() * links.len()) as u64);
    }

    fn retry(&self, myself: &ActorRef<SessionMsg>, state: &mut SessionState) {
        if !state.retrying {
            state.retrying = true;
            myself.send_after(RETRY, || SessionMsg::Check);
        }
    }
}
