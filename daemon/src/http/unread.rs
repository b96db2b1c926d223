//! Requests of one connection that are under way, and how fast its client takes their answers. What a client does not take
//! is held here, so it may not take for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The requests under way on one connection.
#[derive(Clone, Default)]
pub(super) struct Connection(Arc<Mutex<Backlog>>);

#[derive(Default)]
struct Backlog {
    next: u64,
    exchanges: Vec<(u64, Pace)>,
    /// The time at which the last one ended.
    idle_since: Option<Instant>,
}

/// The pace at which an answer is taken.
#[derive(Debug, Default, Clone, Copy)]
struct Pace {
    bytes: u64,
    /// The time that the client took for the bytes that it has.
    took: Duration,
    /// Since when it was given what it has not taken.
    given: Option<Instant>,
}

/// One request and its answer, until it is dropped.
pub(super) struct Exchange {
    connection: Connection,
    id: u64,
}

impl Connection {
    /// A request has come.
    pub(super) fn begin(&self) -> Exchange {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.exchanges.push((id, Pace::default()));
        Exchange { connection: self.clone(), id }
    }

    /// True if an answer is taken more slowly than `least` bytes a second, on average, once `grace` is over.
    pub(super) fn is_too_slow(&self, least: u64, grace: Duration, now: Instant) -> bool {
        self.state().exchanges.iter().any(|(_, pace)| pace.is_below(least, grace, now))
    }

    /// The time since the last request ended, if none is under way.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        let state = self.state();
        if !state.exchanges.is_empty() {
            return Duration::ZERO;
        }
        state.idle_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn state(&self) -> MutexGuard<'_, Backlog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    /// The client has taken what it was given, and asks for more.
    pub(super) fn taken(&self, now: Instant) {
        self.pace(|pace| {
            if let Some(given) = pace.given.take() {
                pace.took += now.saturating_duration_since(given);
            }
        });
    }

    /// The client is given so many bytes.
    pub(super) fn given(&self, bytes: usize, now: Instant) {
        self.pace(|pace| {
            pace.bytes += bytes as u64;
            pace.given = Some(now);
        });
    }

    fn pace(&self, change: impl FnOnce(&mut Pace)) {
        let mut state = self.connection.state();
        if let Some((_, pace)) = state.exchanges.iter_mut().find(|(id, _)| *id == self.id) {
            change(pace);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        state.exchanges.retain(|(id, _)| *id != self.id);
        state.idle_since = Some(Instant::now());
    }
}

impl Pace {
    fn is_below(&self, least: u64, grace: Duration, now: Instant) -> bool {
        let takes = self.given.map_or(Duration::ZERO, |given| now.saturating_duration_since(given));
        let took = (self.took + takes).saturating_sub(grace);
        took.as_secs_f64() * least as f64 > self.bytes as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(30);
    const LEAST: u64 = 1000;

    #[test]
    fn who_takes_nothing_is_too_slow_after_a_while() {
        let (connection, now) = (Connection::default(), Instant::now());
        let exchange = connection.begin();
        let too_slow = |seconds: u64| connection.is_too_slow(LEAST, GRACE, now + Duration::from_secs(seconds));
        exchange.given(10_000, now);
        assert!(!too_slow(39) && too_slow(41));
        exchange.taken(now + Duration::from_secs(39));
        assert!(!too_slow(500), "it is the daemon that has nothing to give");
        exchange.given(1000, now + Duration::from_secs(500));
        assert!(!too_slow(501) && too_slow(504));
        drop(exchange);
        assert!(!too_slow(10_000));
    }

    #[test]
    fn a_connection_is_idle_when_nothing_is_under_way() {
        let connection = Connection::default();
        let later = Instant::now() + Duration::from_secs(100);
        assert_eq!(connection.idle(later), Duration::ZERO, "it has asked nothing yet, which others watch");
        let both = [connection.begin(), connection.begin()];
        assert_eq!(connection.idle(later), Duration::ZERO);
        drop(both);
        assert!(connection.idle(later) > Duration::from_secs(90));
    }
}
