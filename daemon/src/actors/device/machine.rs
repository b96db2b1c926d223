//! The rules for one device: heartbeat, the token's end, the rate of messages, bad messages.
//! Pure: the time is an argument, the answers are effects.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ryzed_adapters::format_time;
use tokio::time::Instant;

use super::incoming::{self, Incoming, Request};
use super::problem::{Problem, code};
use crate::actors::close::CloseReason;
use crate::auth::{AuthError, Caller, LEEWAY};
use crate::budget::{SMALL, Who, note};
use crate::config::Limits;
use crate::metrics::{Limit, metrics};
use crate::sync::strangers::Strangers;
use crate::sync::{DeviceId, UserId};

/// The time between the warning and the end of a token.
const WARNING: TimeDelta = TimeDelta::seconds(60);
/// The number of heartbeats that may pass in silence.
const SILENT_HEARTBEATS: u32 = 2;
/// The number of bad messages in a row that closes the connection.
const BAD_IN_A_ROW: u8 = 10;

/// The time, by two clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// The monotonic time, for durations.
    pub instant: Instant,
    /// The wall-clock time, for the end of a token.
    pub time: DateTime<Utc>,
}

/// An event at the device.
#[derive(Debug)]
pub(super) enum Event {
    /// A text message came.
    Text(Bytes),
    /// A long one was read.
    Read(Result<(Incoming, Strangers), Problem>),
    /// A binary message came.
    Binary,
    /// A ping or pong of the WebSocket protocol came.
    Heard,
    /// The deadline came.
    Tick,
    /// The new token is good.
    Renewed(Box<Caller>),
    /// The new token is not good.
    NotRenewed(AuthError),
}

/// The effect of an event.
#[derive(Debug)]
pub(super) enum Effect {
    /// Read a long message.
    Read(Bytes),
    /// Answer a ping, of which nothing reads this.
    Pong(Strangers),
    /// Hold the clock against what time it is for the device.
    Hear(DateTime<Utc>),
    /// Say what nothing reads of a message of this type.
    Ignore(&'static str, Strangers),
    /// Say that the token is about to end.
    Warn { expires_at: String },
    /// Say what was wrong with a message.
    Refuse(Problem),
    /// Close the socket.
    Close(CloseReason),
    /// Ask who holds this token.
    Verify(String),
    /// The device acts for this caller from now on.
    Become(Box<Caller>),
    /// Serve a request.
    Serve(Request),
}

/// The state of one device.
pub(super) struct Machine {
    user: UserId,
    device: DeviceId,
    limits: Arc<Limits>,
    silence: Duration,
    heard: Instant,
    expires_at: DateTime<Utc>,
    warned: bool,
    bad: u8,
    pending_uploads: Option<u32>,
    rate: RateLimiter<NotKeyed, InMemoryState, EventClock, NoOpMiddleware<Nanos>>,
    begun: Instant,
    clock: EventClock,
}

/// The rate limiter's clock: it shows what the machine was told.
#[derive(Debug, Clone, Default)]
struct EventClock(Arc<AtomicU64>);

impl Clock for EventClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

impl Machine {
    pub(super) fn new(caller: &Caller, device: DeviceId, heartbeat: Duration, limits: &Arc<Limits>, now: Now) -> Self {
        let at_least_one = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::per_second(at_least_one(limits.messages_per_second)).allow_burst(at_least_one(limits.message_burst));
        let clock = EventClock::default();
        Self {
            user: caller.user,
            device,
            limits: Arc::clone(limits),
            silence: heartbeat * SILENT_HEARTBEATS,
            heard: now.instant,
            expires_at: caller.expires_at,
            warned: false,
            bad: 0,
            pending_uploads: None,
            rate: RateLimiter::direct_with_clock(quota, clock.clone()),
            begun: now.instant,
            clock,
        }
    }

    /// Handles an event, and returns its effects.
    pub(super) fn on(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Text(text) => self.came(now, |machine| machine.text(text)),
            Event::Read(message) => self.read(message),
            Event::Binary => self.came(now, |machine| {
                machine.bad(Problem::new(code::BINARY, "messages are JSON in text frames, not binary ones"))
            }),
            Event::Heard => self.came(now, |_| Vec::new()),
            Event::Tick => self.tick(now),
            Event::Renewed(caller) => self.renewed(caller),
            // That is no fault of the token: the old one counts until it ends.
            Event::NotRenewed(error @ AuthError::Unavailable) => {
                vec![Effect::Refuse(Problem::new(code::UNAVAILABLE, error.to_string()).answering("auth"))]
            }
            Event::NotRenewed(error) => vec![Effect::Close(CloseReason::denied(error))],
        }
    }

    /// The time at which [`Event::Tick`] is due.
    pub(super) fn deadline(&self, now: Now) -> Instant {
        let token = if self.warned { self.expires_at + LEEWAY } else { self.expires_at - WARNING };
        // Beyond a day, look again tomorrow: keeps the sum within what an instant can hold.
        let until = (token - now.time).to_std().unwrap_or_default().min(Duration::from_secs(24 * 60 * 60));
        (self.heard + self.silence).min(now.instant + until)
    }

    /// Something came: a sign of life that counts against the rate.
    fn came(&mut self, now: Now, then: impl FnOnce(&mut Self) -> Vec<Effect>) -> Vec<Effect> {
        self.heard = now.instant;
        let elapsed = now.instant.duration_since(self.begun).as_nanos();
        self.clock.0.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.rate.check().is_err() {
            let why = "too many messages (limits.messages_per_second); slow down and connect again";
            metrics().rate_limit_closes.inc();
            note(Limit::MessagesPerSecond, Who::User(self.user));
            return vec![Effect::Close(CloseReason::Limit(why.into()))];
        }
        then(self)
    }

    fn text(&mut self, text: Bytes) -> Vec<Effect> {
        if text.len() > SMALL {
            return vec![Effect::Read(text)];
        }
        self.read(incoming::read_whole(&text, &self.device, &self.limits))
    }

    fn read(&mut self, message: Result<(Incoming, Strangers), Problem>) -> Vec<Effect> {
        let (message, ignored) = match message {
            Ok(message) => message,
            Err(problem) => return self.bad(problem),
        };
        self.bad = 0;
        let told = |kind: &'static str, ignored: Strangers| {
            (!ignored.names().is_empty()).then_some(Effect::Ignore(kind, ignored))
        };
        match message {
            Incoming::Ping { pending_uploads, time } => {
                let news = pending_uploads.filter(|count| self.pending_uploads != Some(*count));
                self.pending_uploads = pending_uploads.or(self.pending_uploads);
                let report = news.map(|pending_uploads| Effect::Serve(Request::Report { pending_uploads }));
                time.map(Effect::Hear).into_iter().chain(report).chain([Effect::Pong(ignored)]).collect()
            }
            Incoming::Auth { token } => told("auth", ignored).into_iter().chain([Effect::Verify(token)]).collect(),
            Incoming::Request(request) => {
                told(request.kind(), ignored).into_iter().chain([Effect::Serve(request)]).collect()
            }
        }
    }

    fn bad(&mut self, problem: Problem) -> Vec<Effect> {
        self.bad += 1;
        let mut effects = vec![Effect::Refuse(problem)];
        if self.bad >= BAD_IN_A_ROW {
            effects.push(Effect::Close(CloseReason::Protocol("too many bad messages in a row".into())));
        }
        effects
    }

    fn tick(&mut self, now: Now) -> Vec<Effect> {
        if now.time >= self.expires_at + LEEWAY {
            return vec![Effect::Close(CloseReason::Token("the token has ended; connect with a new one".into()))];
        }
        if now.instant.duration_since(self.heard) >= self.silence {
            return vec![Effect::Close(CloseReason::Silent)];
        }
        if !self.warned && now.time >= self.expires_at - WARNING {
            self.warned = true;
            return vec![Effect::Warn { expires_at: format_time(self.expires_at) }];
        }
        Vec::new()
    }

    fn renewed(&mut self, caller: Box<Caller>) -> Vec<Effect> {
        if caller.user != self.user {
            let why = "the new token is another user's; connect again for another user";
            return vec![Effect::Close(CloseReason::Token(why.into()))];
        }
        self.expires_at = caller.expires_at;
        self.warned = false;
        vec![Effect::Become(caller)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    const HEARTBEAT: Duration = Duration::from_secs(30);

    fn caller(user: u128, lasts: i64) -> Caller {
        Caller {
            user: UserId(uuid::Uuid::from_u128(user)),
            role: Role::Authenticated,
            email: None,
            expires_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(lasts),
            token: None,
        }
    }

    struct Bench {
        machine: Machine,
        begun: Instant,
    }

    impl Bench {
        fn new(lasts: i64) -> Self {
            let begun = Instant::now();
            let limits = Arc::new(Limits { messages_per_second: 10, message_burst: 20, ..Limits::default() });
            let now = Now { instant: begun, time: DateTime::UNIX_EPOCH };
            let device = "phone".parse().unwrap();
            Self { machine: Machine::new(&caller(1, lasts), device, HEARTBEAT, &limits, now), begun }
        }

        fn now(&self, seconds: f64) -> Now {
            let lasted = Duration::from_secs_f64(seconds);
            Now { instant: self.begun + lasted, time: DateTime::UNIX_EPOCH + lasted }
        }

        fn at(&mut self, seconds: f64, event: Event) -> Vec<Effect> {
            self.machine.on(self.now(seconds), event)
        }

        fn due(&self, seconds: f64) -> f64 {
            (self.machine.deadline(self.now(seconds)) - self.begun).as_secs_f64()
        }

        fn closed(&mut self, seconds: f64, event: Event) -> Option<u16> {
            self.at(seconds, event).into_iter().find_map(|effect| match effect {
                Effect::Close(reason) => Some(reason.code()),
                _ => None,
            })
        }
    }

    fn ping() -> Event {
        Event::Text(Bytes::from_static(br#"{"type":"ping"}"#))
    }

    #[test]
    fn two_silent_heartbeats_end_it_and_anything_received_is_life() {
        let mut bench = Bench::new(100_000);
        assert_eq!(bench.due(0.0), 60.0);
        assert!(matches!(bench.at(50.0, ping())[..], [Effect::Pong(_)]));
        assert_eq!(bench.due(50.0), 110.0);
        bench.at(100.0, Event::Heard);
        assert_eq!(bench.closed(159.0, Event::Tick), None);
        assert_eq!(bench.closed(160.0, Event::Tick), Some(4408));
    }

    #[test]
    fn a_token_is_warned_of_renewed_and_enforced() {
        let mut bench = Bench::new(100);
        bench.at(30.0, ping());
        assert_eq!(bench.due(30.0), 40.0);
        assert!(matches!(bench.at(40.0, Event::Tick)[..], [Effect::Warn { .. }]));
        assert!(bench.at(41.0, Event::Tick).is_empty(), "warned once");
        let renewal = Event::Text(Bytes::from_static(br#"{"type":"auth","token":"t"}"#));
        assert!(matches!(bench.at(50.0, renewal)[..], [Effect::Verify(_)]));
        assert!(matches!(bench.at(50.0, Event::Renewed(Box::new(caller(1, 200))))[..], [Effect::Become(_)]));
        bench.at(100.0, ping());
        assert_eq!(bench.due(100.0), 140.0);
        bench.at(140.0, Event::Tick);
        bench.at(180.0, ping());
        assert_eq!(bench.due(180.0), 230.0);
        assert_eq!(bench.closed(229.0, Event::Tick), None);
        assert_eq!(bench.closed(230.0, Event::Tick), Some(4401));
    }

    #[test]
    fn a_renewal_for_somebody_else_or_with_a_bad_token_ends_it() {
        let mut bench = Bench::new(100);
        assert_eq!(bench.closed(1.0, Event::Renewed(Box::new(caller(2, 200)))), Some(4401));
        assert_eq!(bench.closed(1.0, Event::NotRenewed(AuthError::Expired)), Some(4401));
        assert!(matches!(bench.at(1.0, Event::NotRenewed(AuthError::Unavailable))[..], [Effect::Refuse(_)]));
    }

    #[test]
    fn ten_bad_messages_in_a_row_end_it_but_a_good_one_starts_again() {
        let mut bench = Bench::new(100_000);
        let bad = |n: u32| if n.is_multiple_of(2) { Event::Binary } else { Event::Text(Bytes::from_static(b"{")) };
        for n in 0..9 {
            assert!(matches!(bench.at(f64::from(n), bad(n))[..], [Effect::Refuse(_)]));
        }
        bench.at(9.0, ping());
        for n in 0..9 {
            assert_eq!(bench.closed(f64::from(n + 10), bad(n)), None);
        }
        assert_eq!(bench.closed(20.0, Event::Binary), Some(4400));
    }

    #[test]
    fn a_long_message_is_read_elsewhere() {
        let mut bench = Bench::new(100_000);
        let long = Bytes::from(format!(r#"{{"type":"ping"}}{}"#, " ".repeat(SMALL)));
        let Effect::Read(text) = bench.at(0.0, Event::Text(long)).remove(0) else { panic!("read here") };
        let read = incoming::read_whole(&text, &"phone".parse().unwrap(), &Limits::default());
        assert!(matches!(bench.at(0.0, Event::Read(read))[..], [Effect::Pong(_)]));
        let refused = incoming::read_whole(b"{", &"phone".parse().unwrap(), &Limits::default());
        assert!(matches!(bench.at(0.0, Event::Read(refused))[..], [Effect::Refuse(_)]));
    }

    #[test]
    fn the_rate_allows_a_burst_and_recovers() {
        let mut bench = Bench::new(100_000);
        for _ in 0..20 {
            assert_eq!(bench.closed(0.0, ping()), None);
        }
        assert_eq!(bench.closed(1.0, ping()), None);
        for _ in 0..9 {
            bench.at(1.0, ping());
        }
        assert_eq!(bench.closed(1.0, ping()), Some(4429));
    }

    #[test]
    fn only_news_of_pending_uploads_are_reported() {
        let mut bench = Bench::new(100_000);
        let told = |n: u32| Event::Text(Bytes::from(format!(r#"{{"type":"ping","pending_uploads":{n}}}"#)));
        assert!(matches!(bench.at(0.0, told(3))[..], [Effect::Serve(Request::Report { .. }), Effect::Pong(_)]));
        assert!(matches!(bench.at(1.0, told(3))[..], [Effect::Pong(_)]));
        assert!(matches!(bench.at(2.0, told(0))[..], [Effect::Serve(Request::Report { .. }), Effect::Pong(_)]));
    }
}
