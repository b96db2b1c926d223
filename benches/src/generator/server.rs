//! The server under load: its address, and tokens that it believes.

use std::fmt::{Debug, Formatter};
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use hyper::Uri;
use ryzed_tests::{Person, Token};
use uuid::Uuid;

/// A server of one daemon or of several on one database, and the secret that it shares with the generator.
#[derive(Clone)]
pub struct Server {
    daemons: Vec<Daemon>,
    secret: String,
}

#[derive(Debug, Clone)]
struct Daemon {
    /// `host:port`.
    authority: String,
    is_encrypted: bool,
}

/// Without the secret.
impl Debug for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("daemons", &self.daemons).finish_non_exhaustive()
    }
}

impl Server {
    /// The server whose daemons have these URLs. A host that is not this machine must be named once more in `allowed`, so
    /// that nobody loads a stranger's server by mistake.
    ///
    /// # Errors
    /// When a URL is none, names no host or another one.
    pub fn at<T: AsRef<str>>(urls: &[T], allowed: Option<&str>, secret: &str) -> Result<Self> {
        let daemons: Result<Vec<Daemon>> = urls.iter().map(|url| Daemon::at(url.as_ref(), allowed)).collect();
        let daemons = daemons?;
        if daemons.is_empty() {
            bail!("name the server: --url http://127.0.0.1:8000");
        }
        Ok(Self { daemons, secret: secret.to_owned() })
    }

    /// The daemon whose turn it is, alone.
    #[must_use]
    pub fn turn(&self, number: usize) -> Self {
        let daemon = self.daemons[number % self.daemons.len()].clone();
        Self { daemons: vec![daemon], secret: self.secret.clone() }
    }

    /// The first daemon's `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.daemons[0].authority
    }

    /// A token of a person for an hour.
    #[must_use]
    pub fn token(&self, person: Uuid) -> String {
        Token::of(&Person::known(person)).key(&self.secret).sign()
    }

    /// A URL of the synced part of the first daemon's interface.
    #[must_use]
    pub fn rest(&self, path: &str) -> String {
        let scheme = if self.daemons[0].is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}/api/realtime{path}", self.authority())
    }

    /// The URL of a device's socket at the first daemon, which may resume from a cursor.
    #[must_use]
    pub fn socket(&self, device: &str, cursor: Option<&str>) -> String {
        let scheme = if self.daemons[0].is_encrypted { "wss" } else { "ws" };
        let cursor = cursor.map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
        format!("{scheme}://{}/api/realtime/ws/{device}{cursor}", self.authority())
    }
}

impl Daemon {
    fn at(url: &str, allowed: Option<&str>) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("--url {url} is no URL"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("--url {url}: write http://host:port or https://host"),
        };
        if !uri.path().trim_end_matches('/').is_empty() || uri.query().is_some() {
            bail!("--url {url}: write the address alone, without a path");
        }
        let host = uri.host().context("--url names no host")?;
        if !is_this_machine(host) && allowed != Some(host) {
            bail!("{host} is not this machine: if it is yours and may be loaded, add --allow-host {host}");
        }
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        Ok(Self { authority: format!("{host}:{port}"), is_encrypted })
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_loaded_without_further_ado() {
        for (url, socket) in [
            ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/api/realtime/ws/a"),
            ("http://[::1]:8000/", "ws://[::1]:8000/api/realtime/ws/a"),
            ("https://localhost", "wss://localhost:443/api/realtime/ws/a"),
        ] {
            let server = Server::at(&[url], None, "s").unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(server.socket("a", None), socket);
        }
    }

    #[test]
    fn devices_take_turns() {
        let server = Server::at(&["http://localhost:1", "http://localhost:2"], None, "s").expect("a server");
        assert_eq!(
            [0, 1, 2].map(|number| server.turn(number).authority().to_owned()),
            ["localhost:1", "localhost:2", "localhost:1"]
        );
    }

    #[test]
    fn another_host_is_loaded_only_when_it_is_named_again() {
        let refused = Server::at(&["https://sync.example"], None, "s").expect_err("refused").to_string();
        assert!(refused.contains("--allow-host sync.example"), "{refused}");
        assert!(Server::at(&["https://sync.example"], Some("other.example"), "s").is_err());
        assert!(Server::at(&["https://sync.example"], Some("sync.example"), "s").is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(Server::at::<&str>(&[], None, "s").is_err());
        for url in ["", "localhost:8000", "ftp://localhost", "http://localhost/api"] {
            assert!(Server::at(&[url], None, "s").is_err(), "{url}");
        }
    }
}
