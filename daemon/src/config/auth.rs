//! `[auth]`: the tokens that are accepted.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{Complaints, complain};

/// `[auth]`: the tokens that are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Switch for tokens that are signed with a secret.
    pub hs256: Hs256,
    /// The secret of HS256 tokens; none means a file.
    pub secret: Option<String>,
    /// The file that holds it; none means `secret` in the data directory, made on first start.
    pub secret_file: Option<PathBuf>,
    /// True if a secret may be shorter than [`Auth::SHORTEST_SECRET`].
    pub allow_short_secret: bool,
    /// A PEM file with the public key of RS256, ES256 or EdDSA tokens.
    pub public_key_file: Option<PathBuf>,
    /// A JWKS file with such keys.
    pub jwks_file: Option<PathBuf>,
    /// The URL of such a file, which is fetched again when keys rotate.
    pub jwks_url: Option<String>,
    /// The `iss` that a token must have.
    pub issuer: Option<String>,
    /// The `aud` that a token must hold.
    pub audience: Option<String>,
}

impl Auth {
    /// The shortest secret that is taken, in bytes without blanks round it: HS256 wants no fewer.
    pub const SHORTEST_SECRET: usize = 32;

    /// Advice for making a secret.
    pub const HOW_TO_MAKE_A_SECRET: &str = "make one with `head -c 32 /dev/urandom | base64 -w 0`; tokens that were signed \
        with the old one then end. Until they have, auth.allow_short_secret = true goes on with it, which is not safe";

    /// True if public keys are configured, whose private half an issuer keeps.
    #[must_use]
    pub fn has_public_keys(&self) -> bool {
        self.public_key_file.is_some() || self.jwks_file.is_some() || self.jwks_url.is_some()
    }

    /// True if keys are fetched over a connection on which somebody else could replace them.
    #[must_use]
    pub fn fetches_unguarded(&self) -> bool {
        let Some(rest) = self.jwks_url.as_deref().and_then(|url| url.strip_prefix("http://")) else { return false };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let is_port = |(_, port): &(&str, &str)| !port.ends_with(']');
        let host = place.rsplit_once(':').filter(is_port).map_or(place, |(host, _)| host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        !(host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()))
    }

    /// True if a secret is too easy to guess.
    #[must_use]
    pub fn is_too_short(&self, secret: &[u8]) -> bool {
        !self.allow_short_secret && secret.trim_ascii().len() < Self::SHORTEST_SECRET
    }

    /// Checks what the types alone can't.
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.secret.is_some() && self.secret_file.is_some() {
            complain(complaints, "auth.secret", "is given as well as auth.secret_file; keep one of them");
        }
        if self.hs256 == Hs256::Off && !self.has_public_keys() {
            let complaint = "is off, and no public key is given: nobody would be believed. Give auth.jwks_url, auth.jwks_file or \
                             auth.public_key_file";
            complain(complaints, "auth.hs256", complaint);
        }
        if self.hs256 != Hs256::Off
            && let Some(secret) = self.secret.as_deref().filter(|secret| self.is_too_short(secret.as_bytes()))
        {
            let (found, least) = (secret.trim().len(), Auth::SHORTEST_SECRET);
            let complaint = match found {
                0 => "must not be empty; 32 random bytes make a good one".to_owned(),
                _ => format!(
                    "has {found} bytes and could be guessed; it needs {least} bytes: {}",
                    Auth::HOW_TO_MAKE_A_SECRET
                ),
            };
            complain(complaints, "auth.secret", complaint);
        } else if self.secret.as_deref().is_some_and(|secret| secret.trim().is_empty()) {
            complain(complaints, "auth.secret", "must not be empty; 32 random bytes make a good one");
        }
        if self.jwks_url.as_deref().is_some_and(|url| !is_web_address(url)) {
            complain(complaints, "auth.jwks_url", "must start with https:// or http://, and a host");
        }
    }
}

fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let place = authority.map(|authority| authority.rsplit_once('@').map_or(authority, |(_, place)| place));
    place.is_some_and(|place| !place.is_empty() && !place.starts_with(':'))
}

/// Switch for tokens that are signed with a secret (HS256).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hs256 {
    /// If a secret is named or there is no public key; with public keys alone, only if there is a secret already.
    #[default]
    Auto,
    /// Always; the secret is made when there is none.
    On,
    /// Never.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_unguarded_over_a_network_without_tls() {
        for (url, is_unguarded) in [
            ("https://auth.example.com/keys", false),
            ("http://auth.example.com/keys", true),
            ("http://127.0.0.1:8080/keys", false),
            ("http://[::1]:8080/keys", false),
            ("http://localhost", false),
            ("http://localhost.evil.example", true),
            ("http://127.0.0.1@evil.example/", true),
            ("http://10.0.0.1/127.0.0.1", true),
        ] {
            let auth = Auth { jwks_url: Some(url.into()), ..Auth::default() };
            assert_eq!(auth.fetches_unguarded(), is_unguarded, "{url}");
        }
    }
}
