//! Proxies whose word is taken for where a request came from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A proxy, or a network of them: an address, or one with the length of a prefix such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustedProxy {
    address: IpAddr,
    prefix: u8,
}

impl TrustedProxy {
    /// True if this address is one of them.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                alike(own.to_bits().into(), other.to_bits().into(), 32 - self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => alike(own.to_bits(), other.to_bits(), 128 - self.prefix),
            _ => false,
        }
    }
}

/// True if two addresses differ in their last `free` bits at most.
fn alike(one: u128, other: u128, free: u8) -> bool {
    (one ^ other).checked_shr(free.into()).unwrap_or(0) == 0
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let no_address = || format!("{text:?} is no address, such as 10.0.0.1, and no network, such as 10.0.0.0/8");
        let address: IpAddr = address.parse().map_err(|_| no_address())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(no_address)?,
        };
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for TrustedProxy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, prefix } = self;
        if matches!((address, prefix), (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128)) {
            return address.fmt(f);
        }
        write!(f, "{address}/{prefix}")
    }
}

impl From<TrustedProxy> for String {
    fn from(proxy: TrustedProxy) -> Self {
        proxy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        for (proxy, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("192.168.1.77/24", "192.168.1.2", "192.168.2.2"),
            ("::1", "::1", "::2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ] {
            let proxy: TrustedProxy = proxy.parse().unwrap();
            assert!(proxy.has(inside.parse().unwrap()) && !proxy.has(outside.parse().unwrap()), "{proxy}");
            assert_eq!(proxy.to_string().parse(), Ok(proxy));
        }
        let everybody: TrustedProxy = "0.0.0.0/0".parse().unwrap();
        assert!(everybody.has("192.0.2.1".parse().unwrap()));
        for bad in ["", "localhost", "10.0.0.1/33", "10.0.0.1/", "::1/129", "10.0.0"] {
            assert!(bad.parse::<TrustedProxy>().is_err(), "{bad}");
        }
    }
}
