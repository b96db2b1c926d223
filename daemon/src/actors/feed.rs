//! Asks the database where the scopes are, and hints where a session is behind: at every sweep, and soon
//! after somebody else wrote to the database. Each sweep also asks which devices may not stay, and so does each look after
//! something may have been missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;
use tracing::debug;

use super::admission;
use super::cell;
use super::context::ActorContext;
use super::mailbox::FeedMsg;
use super::pulse::Pulse;
use super::session::mailbox::SessionRef;
use crate::metrics::metrics;
use crate::service::ServiceError;
use crate::sync::Scope;

/// Outside writes are looked for at most this often.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Nor does looking take more than this part of the time: anybody who may connect to the database can give notice without end.
const PART: u32 = 10;
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(2);

/// The pause after the database could not be asked.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Feed;

pub(crate) struct FeedState {
    shared: Arc<ActorContext>,
    pulse: Pulse,
    /// The time from which it may look again.
    rested: Instant,
}

impl Actor for Feed {
    type Msg = FeedMsg;
    type State = FeedState;
    type Arguments = (Arc<ActorContext>, Pulse);

    async fn pre_start(
        &self,
        myself: ActorRef<FeedMsg>,
        (shared, pulse): Self::Arguments,
    ) -> Result<FeedState, ActorProcessingErr> {
        shared.outside.store(false, Ordering::Release);
        cell::set(&shared.feed, myself.clone());
        // At once: one that failed may have taken a notice with it.
        myself.cast(FeedMsg::Sweep)?;
        Ok(FeedState { shared, pulse, rested: Instant::now() })
    }

    async fn handle(
        &self,
        myself: ActorRef<FeedMsg>,
        message: FeedMsg,
        state: &mut FeedState,
    ) -> Result<(), ActorProcessingErr> {
        let _working = state.pulse.begin();
        match message {
            FeedMsg::Sweep => {
                myself.send_after(state.shared.settings.sweep, || FeedMsg::Sweep);
                state.shared.missed.store(true, Ordering::Release);
            }
            FeedMsg::Revoked(user) => {
                if let Err(error) = admission::look(&state.shared, Scope::User(user)).await {
                    debug!(%error, "who may not stay could not be asked; soon again");
                    myself.send_after(AGAIN, move || FeedMsg::Revoked(user));
                }
                return Ok(());
            }
            FeedMsg::Outside => {
                tokio::time::sleep_until(state.rested).await;
                // From here on another write needs another look.
                state.shared.outside.store(false, Ordering::Release);
            }
            #[cfg(any(test, feature = "faults"))]
            FeedMsg::Fault(fault) => fault.happen().await,
        }
        let began = Instant::now();
        let looked = state.look().await;
        state.rested = rested(began, began.elapsed());
        if let Err(error) = looked {
            debug!(%error, "reading the scopes' versions failed; retrying soon");
            if !state.shared.outside.swap(true, Ordering::AcqRel) {
                myself.send_after(AGAIN, || FeedMsg::Outside);
            }
        }
        Ok(())
    }
}

impl FeedState {
    /// Looks where the scopes are, and who may not stay if that may have been missed.
    async fn look(&self) -> Result<(), ServiceError> {
        let shared = &self.shared;
        if shared.missed.swap(false, Ordering::AcqRel)
            && let Err(error) = admission::look(shared, Scope::Global).await
        {
            shared.missed.store(true, Ordering::Release);
            return Err(error);
        }
        self.pulse.heartbeat();
        look(shared).await
    }
}

/// The time for the next look, after one that took so long.
fn rested(began: Instant, took: Duration) -> Instant {
    began + took + (took * (PART - 1)).clamp(DEBOUNCE, LONGEST)
}

/// Compares every scope that somebody listens to with the database.
async fn look(shared: &ActorContext) -> Result<(), ServiceError> {
    let mut sessions: Vec<(Scope, SessionRef)> = Vec::new();
    for (user, session) in shared.connections.sessions() {
        sessions.extend(session.map(|session| (Scope::User(user), session)));
    }
    sessions.extend(cell::get(&shared.catalogue).map(|session| (Scope::Global, session)));
    sessions.sort_unstable_by_key(|(scope, _)| *scope);
    let scopes: Vec<Scope> = sessions.iter().map(|(scope, _)| *scope).collect();
    for (scope, version) in shared.backend.heads(&scopes).await? {
        if let Ok(place) = sessions.binary_search_by_key(&scope, |(scope, _)| *scope)
            && sessions[place].1.moved(version)
        {
            metrics().sweep_corrections.inc();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_takes_a_small_part_of_the_time_whatever_it_costs() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        for (took, until) in [(0, 50), (5, 55), (10, 100), (100, 1000), (30_000, 32_000)] {
            assert_eq!(rested(began, ms(took)), began + ms(until));
        }
    }
}
