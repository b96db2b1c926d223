//! `/demo/people`: throw-away people for the demo page, made by a button instead of a shell.
//!
//! A token is all that it takes to store rows here, so only a page of this daemon gets one, and only on this machine. What the
//! request says of itself decides that: the page's own name must be one of this machine (a foreign name that points here by
//! DNS rebinding is none), it must come from that page, and nothing may have passed it on.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;
use warp::http::header::{FORWARDED, HOST, HeaderName, HeaderValue, ORIGIN, VIA};
use warp::http::{HeaderMap, Version};

use super::super::answer::{Answer, json};
use super::super::call::Call;
use super::super::problem::{Kind, Problem};
use crate::auth::{Grant, LEEWAY, Role, Secret, sign};
use crate::budget::{Refused, Who, refused};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, DemoPeople};
use crate::metrics::Limit;
use crate::sync::UserId;

/// The life of such a person's token.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// The span over which the rate counts.
const MINUTE: Duration = Duration::from_secs(60);
/// Headers that proxies add to a request that they pass on. Whatever they say, somebody else may have asked.
const PASSED_ON: [HeaderName; 9] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("true-client-ip"),
];
/// The header in which browsers say how the asking page is related to the address that it asks.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The refusal of a request that may be somebody else's.
const FROM_ELSEWHERE: &str = "throw-away people are for this machine alone, and something has passed this request on";
/// The reason for making no people without a secret.
const UNSIGNED: &str = "there is no secret here that a throw-away person's token could be signed with (auth.hs256): tokens \
                        come from the issuer whose public keys are configured";

/// The people that the demo page may make, or why it may not.
pub struct People(Result<Maker, &'static str>);

/// The parts of their tokens, and the count of the people made.
struct Maker {
    secret: Secret,
    issuer: Option<String>,
    audience: Option<String>,
    bounds: Bounds,
    made: Mutex<Made>,
}

/// The limits on their number.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    per_minute: usize,
    alive: usize,
}

/// The creation times of people whose tokens have not expired yet, the oldest first.
#[derive(Debug, Default)]
struct Made(VecDeque<Instant>);

impl People {
    /// Those of a daemon that listens at `address`. What was asked for and can't be is in the log.
    #[must_use]
    pub fn of(config: &Config, secret: Option<&Secret>, address: IpAddr, is_adopted: bool) -> Self {
        let allowed = config.dev.demo_people.allowed(address, is_adopted);
        let maker = allowed.and_then(|()| secret.ok_or(UNSIGNED)).map(|secret| Maker {
            secret: secret.clone(),
            issuer: config.auth.issuer.clone(),
            audience: config.auth.audience.clone(),
            bounds: Bounds { per_minute: config.limits.demo_people_per_minute, alive: config.limits.demo_people },
            made: Mutex::default(),
        });
        if config.dev.demo_people == DemoPeople::On && maker.is_err() {
            tracing::warn!("the demo page makes no throw-away people: {UNSIGNED}");
        }
        Self(maker)
    }

    /// The one who makes them, for a request that may ask for it.
    fn maker(&self, call: &Call) -> Result<&Maker, Problem> {
        let maker = self.0.as_ref().map_err(|why| Problem::not_found(*why))?;
        // No browser speaks what is older; what does is a proxy that was told nothing.
        if call.version.is_some_and(|version| version < Version::HTTP_11) {
            return Err(Problem::new(Kind::Forbidden, FROM_ELSEWHERE));
        }
        at_home(&call.headers).map_err(|why| Problem::new(Kind::Forbidden, why))?;
        Ok(maker)
    }
}

impl Maker {
    fn admit(&self) -> Result<(), Refused> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.admit(self.bounds, Instant::now()).map_err(|(limit, wait)| refused(limit, wait, Who::Nobody))
    }
}

impl Made {
    /// Counts one more, or says which bound it would pass and for how long.
    fn admit(&mut self, bounds: Bounds, now: Instant) -> Result<(), (Limit, Duration)> {
        let alive = LIFETIME + LEEWAY;
        let left = |made: &Instant, of: Duration| of.saturating_sub(now.saturating_duration_since(*made));
        while self.0.front().is_some_and(|made| left(made, alive).is_zero()) {
            self.0.pop_front();
        }
        // What still counts until there is room again.
        let within = |most: usize, of: Duration| {
            let first = self.0.len().checked_sub(most)?;
            self.0.get(first).map(|made| left(made, of)).filter(|wait| !wait.is_zero())
        };
        for (limit, most, of) in
            [(Limit::DemoPeople, bounds.alive, alive), (Limit::DemoPeoplePerMinute, bounds.per_minute, MINUTE)]
        {
            if let Some(wait) = within(most, of) {
                return Err((limit, wait));
            }
        }
        self.0.push_back(now);
        Ok(())
    }
}

/// `GET /demo/people`: whether there is a button to show.
pub(in crate::http) async fn are_made(call: Call) -> Answer {
    json(&match call.app.people.maker(&call) {
        Ok(_) => json!({"are_made": true}),
        Err(problem) => json!({"are_made": false, "why": problem.detail()}),
    })
}

/// `POST /demo/people`: one who was not there before, with a token.
pub(in crate::http) async fn make(mut call: Call) -> Answer {
    call.discard().await;
    let maker = call.app.people.maker(&call)?;
    maker.admit()?;
    let user = UserId(Uuid::new_v4());
    let (issuer, audience) = (maker.issuer.clone(), maker.audience.clone());
    let grant = Grant { user, role: Role::default(), email: None, issuer, audience };
    let token = sign(&maker.secret, &grant, SystemClock.now(), LIFETIME).map_err(|error| {
        tracing::error!(%error, "can't make the token of a throw-away person");
        Problem::internal()
    })?;
    json(&json!({"user_id": user, "token": token, "lifetime_seconds": LIFETIME.as_secs()}))
}

/// Checks that a request comes from this machine's own page, as far as it can tell. Clients other than browsers name none.
fn at_home(headers: &HeaderMap) -> Result<(), &'static str> {
    if PASSED_ON.iter().any(|name| headers.contains_key(name)) {
        return Err(FROM_ELSEWHERE);
    }
    let host = only(headers, &HOST).flatten();
    if !host.is_some_and(is_of_this_machine) {
        return Err("throw-away people are for this machine alone: open the page at localhost or 127.0.0.1");
    }
    let is_own = |origin: &str| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    let is_own_page = only(headers, &ORIGIN).is_some_and(|origin| origin.is_none_or(is_own));
    let is_same_site = headers.get(FETCH_SITE).is_none_or(|site| site == "same-origin" || site == "none");
    if is_own_page && is_same_site { Ok(()) } else { Err("only this daemon's own page makes throw-away people") }
}

/// The value of a header that may come once; the inner none when it does not come, the outer when it makes no sense.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Option<&'h str>> {
    let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    match values.as_slice() {
        [] => Some(None),
        [value] => value.to_str().ok().map(Some),
        _ => None,
    }
}

/// True if `<host>` or `<host>:<port>` names this machine whoever looks it up.
fn is_of_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_page_of_this_machine_is_at_home_and_no_other() {
        let own: [&[(&str, &str)]; 6] = [
            &[("host", "127.0.0.1:8000")],
            &[("host", "localhost")],
            &[("host", "[::1]:8000"), ("origin", "http://[::1]:8000")],
            &[("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin")],
            &[("host", "LOCALHOST:8000"), ("origin", "http://localhost:8000")],
            &[("host", "localhost"), ("origin", "https://localhost"), ("sec-fetch-site", "none")],
        ];
        for of in own {
            assert_eq!(at_home(&headers(of)), Ok(()), "{of:?}");
        }
        let foreign: [&[(&str, &str)]; 15] = [
            &[],
            &[("host", "demo.example:8000")],
            &[("host", "127.0.0.1.evil.example")],
            &[("host", "localhost.evil.example")],
            &[("host", "192.168.1.5:8000")],
            &[("host", "evil.example"), ("origin", "http://evil.example")],
            &[("host", "127.0.0.1:8000"), ("host", "evil.example")],
            &[("host", "127.0.0.1:8000"), ("origin", "http://evil.example")],
            &[("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:3000")],
            &[("host", "127.0.0.1:8000"), ("origin", "http://localhost:8000")],
            &[("host", "127.0.0.1:8000"), ("origin", "null")],
            &[("host", "127.0.0.1:8000"), ("origin", "http://127.0.0.1:8000"), ("origin", "http://evil.example")],
            &[("host", "127.0.0.1:8000"), ("sec-fetch-site", "cross-site")],
            &[("host", "127.0.0.1:8000"), ("x-forwarded-for", "203.0.113.7")],
            &[("host", "127.0.0.1:8000"), ("via", "1.1 proxy")],
        ];
        for of in foreign {
            assert!(at_home(&headers(of)).is_err(), "{of:?}");
        }
    }

    #[test]
    fn so_many_a_minute_and_so_many_alive() {
        let (mut made, bounds, begun) = (Made::default(), Bounds { per_minute: 2, alive: 3 }, Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!((made.admit(bounds, at(0)), made.admit(bounds, at(10))), (Ok(()), Ok(())));
        let wait = Duration::from_secs(45);
        assert_eq!(made.admit(bounds, at(15)), Err((Limit::DemoPeoplePerMinute, wait)));
        assert_eq!(made.admit(bounds, at(60)), Ok(()));
        let whole = (LIFETIME + LEEWAY).as_secs();
        let wait = Duration::from_secs(whole - 1000);
        assert_eq!(made.admit(bounds, at(1000)), Err((Limit::DemoPeople, wait)));
        assert_eq!(made.admit(bounds, at(whole)), Ok(()));
    }
}
