//! The origin of a request, as far as limits depend on it: the peer, or behind a trusted proxy the client
//! that the proxy names.

use std::net::IpAddr;
use std::sync::Arc;

use warp::http::{HeaderMap, HeaderName};

use crate::budget::{Budget, Refused};
use crate::config::TrustedProxy;

/// The header in which proxies name their clients, the nearest last.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The origin of a request; an extension of every request.
#[derive(Clone)]
pub(super) struct Origin {
    budget: Arc<Budget>,
    /// None: a trusted proxy that names nobody, or something on the same machine.
    address: Option<IpAddr>,
}

impl Origin {
    pub(super) fn of(budget: &Arc<Budget>, peer: IpAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> Self {
        Self { budget: Arc::clone(budget), address: client(peer, headers, trusted) }
    }

    /// Checks that an unauthenticated client from this address may try.
    pub(super) fn may_try(&self) -> Result<(), Refused> {
        self.address.map_or(Ok(()), |address| self.budget.may_try(address))
    }

    /// Takes note that it was nobody.
    pub(super) fn was_stranger(&self) {
        self.address.into_iter().for_each(|address| self.budget.was_stranger(address));
    }
}

/// True if the peer is a trusted proxy.
pub(super) fn is_trusted(peer: IpAddr, trusted: &[TrustedProxy]) -> bool {
    trusted.iter().any(|proxy| proxy.has(peer))
}

/// The last one named that is no trusted proxy itself: those before it say what they like.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> Option<IpAddr> {
    if !is_trusted(peer, trusted) {
        return Some(peer);
    }
    let named: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut named = named.iter().rev().flat_map(|value| value.rsplit(','));
    named.find_map(|name| match name.trim().parse::<IpAddr>() {
        Ok(address) if is_trusted(address, trusted) => None,
        // What is no address ends the search: nothing before it can be believed.
        other => Some(other.ok()),
    })?
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn found(peer: &str, forwarded: &[&'static str]) -> Option<String> {
        let trusted: Vec<TrustedProxy> = ["127.0.0.1", "10.0.0.0/8"].map(|proxy| proxy.parse().unwrap()).into();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        client(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn who_is_no_trusted_proxy_is_who_it_is() {
        assert_eq!(found("192.0.2.1", &["203.0.113.7"]).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn a_trusted_proxy_names_its_client_and_the_nearest_counts() {
        for (forwarded, client) in [
            (&["203.0.113.7"][..], Some("203.0.113.7")),
            (&["1.1.1.1, 203.0.113.7"], Some("203.0.113.7")),
            (&["1.1.1.1", "203.0.113.7, 10.1.2.3"], Some("203.0.113.7")),
            (&["1.1.1.1, nonsense"], None),
            (&["127.0.0.1"], None),
            (&[], None),
        ] {
            assert_eq!(found("127.0.0.1", forwarded).as_deref(), client, "{forwarded:?}");
        }
    }
}
