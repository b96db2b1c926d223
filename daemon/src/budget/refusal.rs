//! Refusals: each is counted, some are logged, all say which limit it was and when to come back.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::{Label, Limit, metrics};
use crate::sync::UserId;

/// The pause of the log about a limit after it has told of a refusal.
const QUIET: Duration = Duration::from_secs(10);

/// Somebody wants more than they may have, or than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The limit that was exceeded.
    pub limit: Limit,
    /// The pause before the next try.
    pub retry_after: Duration,
}

impl Refused {
    /// True if the caller alone has exceeded a limit: then others are served meanwhile.
    #[must_use]
    pub fn is_the_callers(self) -> bool {
        !matches!(
            self.limit,
            Limit::BytesInFlight | Limit::LongReads | Limit::Connections | Limit::Sockets | Limit::Polls
        )
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.limit {
            Limit::RequestsPerSecond => "you send too many requests",
            Limit::RequestsPerUser => "too many of your requests wait already",
            Limit::PollsPerUser => "too many of your requests wait for news already",
            Limit::ReadsPerUser | Limit::WritesPerUser => "your other requests take all the time that you have",
            Limit::BytesPerUser => "your other requests and their answers take all the memory that you have",
            Limit::StrangersPerSecond => "too many requests without a good token came from your address",
            Limit::DemoPeoplePerMinute => "too many throw-away people were made in the last minute",
            Limit::DemoPeople => "too many throw-away people are there already",
            _ => "the server has too much to do",
        };
        let seconds = whole_seconds(self.retry_after);
        write!(f, "{why} (limits.{}); try again in {seconds} s", self.limit.value())
    }
}

/// The whole seconds of a retry delay: never too short.
#[must_use]
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).max(1) as u64
}

/// The client that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A person.
    User(UserId),
    /// Somebody at this address.
    Address(IpAddr),
    /// An unauthenticated client without a known address.
    Nobody,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user {user}"),
            Self::Address(address) => write!(f, "address {address}"),
            Self::Nobody => f.write_str("somebody"),
        }
    }
}

/// Of each limit: when the log last told of it, and how often it was exceeded since.
static TOLD: LazyLock<Mutex<HashMap<&'static str, (Instant, u64)>>> = LazyLock::new(Mutex::default);

/// Counts a refusal, and tells of it unless the log has just told of another.
pub fn refused(limit: Limit, retry_after: Duration, who: Who) -> Refused {
    note(limit, who);
    Refused { limit, retry_after }
}

/// The same for a refusal without a retry delay.
pub fn note(limit: Limit, who: Who) {
    metrics().limit_refusals.inc(limit);
    if let Some(untold) = untold(limit, Instant::now()) {
        tracing::warn!(limit = limit.value(), %who, untold, "over a limit; further refusals are counted and logged later");
    }
}

/// The same for a limit that is known by its key; others are not counted.
pub fn note_key(key: &str, who: Who) {
    Limit::ALL.iter().filter(|limit| limit.value() == key).for_each(|limit| note(*limit, who));
}

/// The number of unlogged refusals, when it is time to log again.
fn untold(limit: Limit, now: Instant) -> Option<u64> {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((last, untold)) = told.get_mut(limit.value()) else {
        told.insert(limit.value(), (now, 0));
        return Some(0);
    };
    if now.duration_since(*last) < QUIET {
        *untold += 1;
        return None;
    }
    *last = now;
    Some(std::mem::take(untold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_the_first_and_later_how_many() {
        let (now, limit) = (Instant::now(), Limit::HeaderBytes);
        assert_eq!(untold(limit, now), Some(0));
        assert_eq!((untold(limit, now), untold(limit, now)), (None, None));
        assert_eq!(untold(limit, now + QUIET), Some(2));
        assert_eq!(untold(limit, now + QUIET), None);
    }

    #[test]
    fn a_time_to_wait_is_never_too_short() {
        let told = [0, 1, 999, 1000, 1001, 2500].map(|ms| whole_seconds(Duration::from_millis(ms)));
        assert_eq!(told, [1, 1, 1, 1, 2, 3]);
    }
}
